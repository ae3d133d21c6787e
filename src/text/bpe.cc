#include "text/bpe.h"

#include <algorithm>

#include "base/error.h"
#include "text/byte_alphabet.h"
#include "text/utf8.h"

namespace isotope::text {
namespace {

/// Orders a heap so that the lowest rank comes out first, of equal ranks the leftmost.
bool comes_later(const BpeCandidate& a, const BpeCandidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.left > b.left;
}

void append_symbol(std::vector<BpeSymbol>& symbols, TokenId id, std::size_t begin,
                   std::size_t end) {
  const auto index = std::int32_t(symbols.size());
  symbols.push_back({id, std::uint32_t(begin), std::uint32_t(end), index - 1, index + 1});
}

bool is_stale(const BpeCandidate& candidate, const std::vector<BpeSymbol>& symbols) {
  const BpeSymbol& left = symbols[std::size_t(candidate.left)];
  return left.id != candidate.left_id || left.next < 0 ||
         symbols[std::size_t(left.next)].id != candidate.right_id;
}

/// The right symbol becomes part of the left one and leaves the list.
void join(std::vector<BpeSymbol>& symbols, const BpeCandidate& candidate) {
  BpeSymbol& left = symbols[std::size_t(candidate.left)];
  BpeSymbol& right = symbols[std::size_t(left.next)];
  left.id = candidate.product;
  left.end = right.end;
  left.next = right.next;
  if (left.next >= 0) symbols[std::size_t(left.next)].previous = candidate.left;
  right.id = kNoToken;
}

/// Joins until no pair is left. `merge_of(left, right)` says what two neighbouring symbols join
/// into.
template <typename MergeOf>
void merge_all(BpeScratch& scratch, const MergeOf& merge_of) {
  std::vector<BpeSymbol>& symbols = scratch.symbols;
  std::vector<BpeCandidate>& queue = scratch.queue;
  const auto candidate_at = [&](std::int32_t left) -> BpeCandidate {
    const BpeSymbol& a = symbols[std::size_t(left)];
    const BpeSymbol& b = symbols[std::size_t(a.next)];
    const MergeTable::Merge merge = merge_of(a, b);
    return {merge.rank, left, a.id, b.id, merge.product};
  };
  queue.clear();
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
    const BpeCandidate candidate = candidate_at(std::int32_t(i));
    if (candidate.product != kNoToken) queue.push_back(candidate);
  }
  std::make_heap(queue.begin(), queue.end(), comes_later);
  const auto push = [&](std::int32_t left) {
    const BpeCandidate candidate = candidate_at(left);
    if (candidate.product == kNoToken) return;
    queue.push_back(candidate);
    std::push_heap(queue.begin(), queue.end(), comes_later);
  };
  while (!queue.empty()) {
    std::pop_heap(queue.begin(), queue.end(), comes_later);
    const BpeCandidate candidate = queue.back();
    queue.pop_back();
    if (is_stale(candidate, symbols)) continue;
    join(symbols, candidate);
    const BpeSymbol& joined = symbols[std::size_t(candidate.left)];
    if (joined.previous >= 0) push(joined.previous);
    if (joined.next >= 0) push(candidate.left);
  }
}

void append_ids(const std::vector<BpeSymbol>& symbols, std::vector<TokenId>& out) {
  if (symbols.empty()) return;
  for (std::int32_t i = 0; i >= 0; i = symbols[std::size_t(i)].next)
    out.push_back(symbols[std::size_t(i)].id);
}

}  // namespace

MergeListBpe::MergeListBpe(const Vocabulary& vocabulary, MergeTable merges, Options options)
    : vocabulary_(&vocabulary), merges_(std::move(merges)), options_(options) {
  for (int byte = 0; byte < 256; ++byte) {
    std::string spelling;
    if (options_.byte_level) {
      const char raw = char(byte);
      append_byte_spelling({&raw, 1}, spelling);
    } else {
      spelling = fmt::format("<0x{:02X}>", byte);
    }
    byte_tokens_[std::size_t(byte)] = vocabulary.find(spelling);
  }
}

TokenId MergeListBpe::whole_token(std::string_view piece, BpeScratch& scratch) const {
  if (!options_.byte_level) return vocabulary_->find(piece);
  scratch.spelling.clear();
  append_byte_spelling(piece, scratch.spelling);
  return vocabulary_->find(scratch.spelling);
}

void MergeListBpe::append_unknown(std::size_t begin, std::size_t end,
                                  std::vector<BpeSymbol>& symbols) const {
  if (options_.unk == kNoToken) return;
  if (options_.fuse_unk && !symbols.empty() && symbols.back().id == options_.unk)
    symbols.back().end = std::uint32_t(end);
  else
    append_symbol(symbols, options_.unk, begin, end);
}

void MergeListBpe::start_from_bytes(std::string_view piece, std::vector<BpeSymbol>& symbols) const {
  for (std::size_t i = 0; i < piece.size(); ++i) {
    const TokenId id = byte_tokens_[std::uint8_t(piece[i])];
    if (id != kNoToken)
      append_symbol(symbols, id, i, i + 1);
    else
      append_unknown(i, i + 1, symbols);
  }
}

void MergeListBpe::start_from_characters(std::string_view piece,
                                         std::vector<BpeSymbol>& symbols) const {
  const auto byte_token = [&](char byte) { return byte_tokens_[std::uint8_t(byte)]; };
  const auto has_token = [&](char byte) { return byte_token(byte) != kNoToken; };
  for (std::size_t begin = 0, length = 0; begin < piece.size(); begin += length) {
    first_code_point(piece.substr(begin), length);
    const std::string_view character = piece.substr(begin, length);
    if (const TokenId id = vocabulary_->find(character); id != kNoToken) {
      append_symbol(symbols, id, begin, begin + length);
    } else if (options_.byte_fallback &&
               std::all_of(character.begin(), character.end(), has_token)) {
      for (std::size_t i = begin; i < begin + length; ++i)
        append_symbol(symbols, byte_token(piece[i]), i, i + 1);
    } else {
      append_unknown(begin, begin + length, symbols);
    }
  }
}

void MergeListBpe::append_tokens(std::string_view piece, BpeScratch& scratch,
                                 std::vector<TokenId>& out) const {
  if (options_.ignore_merges) {
    if (const TokenId id = whole_token(piece, scratch); id != kNoToken) {
      out.push_back(id);
      return;
    }
  }
  scratch.symbols.clear();
  if (options_.byte_level)
    start_from_bytes(piece, scratch.symbols);
  else
    start_from_characters(piece, scratch.symbols);
  if (scratch.symbols.empty()) return;
  scratch.symbols.back().next = -1;
  merge_all(scratch, [this](const BpeSymbol& left, const BpeSymbol& right) {
    return merges_.find(left.id, right.id);
  });
  append_ids(scratch.symbols, out);
}

RankBpe::RankBpe(const Vocabulary& vocabulary, TokenId first, const std::string& what)
    : first_(first), index_(vocabulary.bytes, std::size_t(vocabulary.size() - first)) {
  for (TokenId id = first; id < vocabulary.size(); ++id) {
    if (const TokenId other = index_.insert(id); other != id)
      fail(ErrorCode::corrupt_data, "{}: the tokens of rank {} and {} have the same bytes", what,
           other - first, id - first);
    longest_ = std::max(longest_, vocabulary.bytes[std::size_t(id)].size());
  }
}

void RankBpe::append_tokens(std::string_view piece, BpeScratch& scratch,
                            std::vector<TokenId>& out) const {
  if (piece.size() <= longest_) {
    if (const TokenId id = index_.find(piece); id != kNoToken) {
      out.push_back(id);
      return;
    }
  }
  scratch.symbols.clear();
  for (std::size_t i = 0; i < piece.size(); ++i)
    append_symbol(scratch.symbols, first_ + std::uint8_t(piece[i]), i, i + 1);
  scratch.symbols.back().next = -1;
  merge_all(scratch, [&](const BpeSymbol& left, const BpeSymbol& right) -> MergeTable::Merge {
    if (right.end - left.begin > longest_) return {};
    const TokenId id = index_.find(piece.substr(left.begin, right.end - left.begin));
    return id == kNoToken ? MergeTable::Merge{} : MergeTable::Merge{id, id};
  });
  append_ids(scratch.symbols, out);
}

}  // namespace isotope::text
