#include "text/vocabulary.h"

#include <bit>
#include <cstring>

#include "base/error.h"

namespace isotope::text {
namespace {

/// Twice the entries, as a power of two: probes stay short, and masking finds the slot.
std::size_t slot_count(std::size_t capacity) {
  return std::bit_ceil(std::max<std::size_t>(capacity, 8) * 2);
}

/// Multiplies to 128 bits and folds: every bit of the input reaches every bit of the result.
std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return std::uint64_t(product) ^ std::uint64_t(product >> 64);
}

std::uint64_t hash_of(std::string_view string) {
  constexpr std::uint64_t kMultiplier = 0x9E3779B97F4A7C15u;  // 2^64 / golden ratio
  std::uint64_t hash = string.size() * kMultiplier;
  const char* data = string.data();
  std::size_t left = string.size();
  for (; left >= 8; left -= 8, data += 8) {
    std::uint64_t word;
    std::memcpy(&word, data, 8);
    hash = fold(hash ^ word, kMultiplier);
  }
  std::uint64_t tail = 0;
  std::memcpy(&tail, data, left);
  return fold(hash ^ tail, 0xD6E8FEB86659FD93u);
}

std::uint64_t pack(TokenId left, TokenId right) {
  return std::uint64_t(std::uint32_t(left)) << 32 | std::uint32_t(right);
}

}  // namespace

void StringPool::reserve(std::size_t strings, std::size_t bytes) {
  ends_.reserve(strings);
  bytes_.reserve(bytes);
}

void StringPool::append(std::string_view string) {
  bytes_.append(string);
  ISOTOPE_ASSERT(bytes_.size() <= std::numeric_limits<std::uint32_t>::max());
  ends_.push_back(std::uint32_t(bytes_.size()));
}

StringIndex::StringIndex(const StringPool& pool, std::size_t capacity)
    : pool_(&pool), slots_(slot_count(capacity)), mask_(slots_.size() - 1) {}

std::size_t StringIndex::locate(std::string_view string, std::uint64_t hash) const {
  std::size_t slot = hash & mask_;
  const auto tag = std::uint32_t(hash >> 32);
  while (slots_[slot].id != kNoToken &&
         (slots_[slot].tag != tag || (*pool_)[std::size_t(slots_[slot].id)] != string))
    slot = (slot + 1) & mask_;
  return slot;
}

TokenId StringIndex::insert(TokenId i) {
  const std::string_view string = (*pool_)[std::size_t(i)];
  const std::uint64_t hash = hash_of(string);
  Slot& slot = slots_[locate(string, hash)];
  if (slot.id == kNoToken) slot = {std::uint32_t(hash >> 32), i};
  return slot.id;
}

TokenId StringIndex::find(std::string_view string) const {
  return slots_[locate(string, hash_of(string))].id;
}

Vocabulary::Vocabulary(const std::vector<std::string_view>& spellings)
    : special(spellings.size()), index_(spellings_, spellings.size()) {
  std::size_t total = 0;
  for (const std::string_view spelling : spellings) total += spelling.size();
  spellings_.reserve(spellings.size(), total);
  for (const std::string_view spelling : spellings) {
    spellings_.append(spelling);
    if (!spelling.empty()) index_.insert(TokenId(spellings_.size() - 1));
  }
}

MergeTable::MergeTable(std::size_t capacity)
    : slots_(slot_count(capacity)),
      mask_(slots_.size() - 1),
      shift_(64 - std::countr_zero(slots_.size())) {}

std::size_t MergeTable::locate(std::uint64_t pair) const {
  // Fibonacci hashing: the upper bits of the product depend on all bits of the pair.
  std::size_t slot = (pair * 0x9E3779B97F4A7C15u) >> shift_;
  while (slots_[slot].merge.product != kNoToken && slots_[slot].pair != pair)
    slot = (slot + 1) & mask_;
  return slot;
}

void MergeTable::insert(TokenId left, TokenId right, Merge merge) {
  const std::uint64_t pair = pack(left, right);
  slots_[locate(pair)] = {pair, merge};
}

MergeTable::Merge MergeTable::find(TokenId left, TokenId right) const {
  return slots_[locate(pack(left, right))].merge;
}

}  // namespace isotope::text
