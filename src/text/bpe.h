// Byte-pair encoding: joins neighbouring symbols of a piece of text, best pair first.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/vocabulary.h"

namespace isotope::text {

/// One symbol of the piece being merged, in a list linked by index.
struct BpeSymbol {
  TokenId id;
  std::uint32_t begin;  ///< bytes [begin, end) of the piece
  std::uint32_t end;
  std::int32_t previous;
  std::int32_t next;  ///< -1: the last one
};

/// A pair of neighbours that may join; stale once either of the two has changed.
struct BpeCandidate {
  std::int32_t rank;
  std::int32_t left;  ///< index of the left symbol
  TokenId left_id;
  TokenId right_id;
  TokenId product;
};

/// Working memory that one encode() reuses for all of its pieces.
struct BpeScratch {
  std::vector<BpeSymbol> symbols;
  std::vector<BpeCandidate> queue;
  std::string spelling;
};

/// Turns one piece into tokens. Immutable; O(n log n) in the length of the piece.
class SubwordModel {
 public:
  virtual ~SubwordModel() = default;
  /// `piece` is not empty and below 2 GiB.
  virtual void append_tokens(std::string_view piece, BpeScratch& scratch,
                             std::vector<TokenId>& out) const = 0;
};

/// Hugging Face's BPE: a list of merges; the earliest merge in the list joins first.
class MergeListBpe final : public SubwordModel {
 public:
  struct Options {
    bool byte_level = false;     ///< symbols start as bytes (pieces are bytes), else as characters
    bool ignore_merges = false;  ///< a piece that is a token is taken whole
    bool byte_fallback = false;  ///< a character without a token becomes <0x..> tokens
    bool fuse_unk = false;       ///< neighbouring unknown characters become one unk_token
    TokenId unk = kNoToken;      ///< what unknown characters become; kNoToken: they are dropped
  };

  /// `vocabulary` must outlive this.
  MergeListBpe(const Vocabulary& vocabulary, MergeTable merges, Options options);
  void append_tokens(std::string_view piece, BpeScratch& scratch,
                     std::vector<TokenId>& out) const override;

 private:
  TokenId whole_token(std::string_view piece, BpeScratch& scratch) const;
  void append_unknown(std::size_t begin, std::size_t end, std::vector<BpeSymbol>& symbols) const;
  void start_from_bytes(std::string_view piece, std::vector<BpeSymbol>& symbols) const;
  void start_from_characters(std::string_view piece, std::vector<BpeSymbol>& symbols) const;

  const Vocabulary* vocabulary_;
  MergeTable merges_;
  Options options_;
  /// The token of each single byte: in the byte alphabet if byte_level, else its <0x..> token.
  std::array<TokenId, 256> byte_tokens_{};
};

/// Tekken and tiktoken: no list of merges; neighbours join if together they are a token, the token
/// with the lowest id first. A piece that is a token is taken whole.
class RankBpe final : public SubwordModel {
 public:
  /// Tokens `first` and following of `vocabulary`, which must outlive this, are the ranks; the
  /// first 256 are the single bytes in order. Errors: corrupt_data if two tokens have the same
  /// bytes.
  RankBpe(const Vocabulary& vocabulary, TokenId first, const std::string& what);
  void append_tokens(std::string_view piece, BpeScratch& scratch,
                     std::vector<TokenId>& out) const override;

 private:
  TokenId first_;
  std::size_t longest_ = 0;  ///< bytes of the longest token: longer joins need no look-up
  StringIndex index_;
};

}  // namespace isotope::text
