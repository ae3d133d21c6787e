// The tokens of a model: how they are spelled, what bytes they stand for, which id a spelling has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "base/tensor.h"

namespace isotope::text {

inline constexpr TokenId kNoToken = -1;
/// Largest id that a file may use: far above any real vocabulary, and small enough for arrays.
inline constexpr TokenId kMaxTokenId = (1 << 22) - 1;

/// Many short strings, numbered from 0, in one allocation.
class StringPool {
 public:
  void reserve(std::size_t strings, std::size_t bytes);
  void append(std::string_view string);
  std::size_t size() const { return ends_.size(); }
  std::string_view operator[](std::size_t i) const {
    const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
    return {bytes_.data() + begin, ends_[i] - begin};
  }

 private:
  std::string bytes_;
  std::vector<std::uint32_t> ends_;
};

/// From a string to its number in a StringPool: a hash table with open addressing.
/// It refers to the pool, which must stay where it is and must not lose strings.
class StringIndex {
 public:
  /// Room for `capacity` strings.
  StringIndex(const StringPool& pool, std::size_t capacity);

  /// Adds string `i` of the pool. If an equal one is there already: its number, and nothing
  /// changes.
  TokenId insert(TokenId i);
  /// The number of an equal string, or kNoToken.
  TokenId find(std::string_view string) const;

 private:
  struct Slot {
    std::uint32_t tag;  ///< upper half of the hash: spares most comparisons of strings
    TokenId id = kNoToken;
  };
  /// The slot that holds `string`, or the free one where it belongs.
  std::size_t locate(std::string_view string, std::uint64_t hash) const;

  const StringPool* pool_;
  std::vector<Slot> slots_;
  std::size_t mask_;
};

/// Filled once by a loader, then immutable. Ids without a token have an empty spelling and no
/// bytes.
class Vocabulary {
 public:
  /// `spellings[id]`; an empty one means that the id has no token.
  explicit Vocabulary(const std::vector<std::string_view>& spellings);
  Vocabulary(const Vocabulary&) = delete;
  Vocabulary& operator=(const Vocabulary&) = delete;

  std::int32_t size() const { return std::int32_t(spellings_.size()); }
  bool contains(TokenId id) const { return id >= 0 && id < size(); }
  std::string_view spelling(TokenId id) const { return spellings_[std::size_t(id)]; }
  /// kNoToken if there is none; of equal spellings the lowest id.
  TokenId find(std::string_view spelling) const { return index_.find(spelling); }

  /// What the tokens stand for, in order of ids: to be filled by the loader, once.
  StringPool bytes;
  /// By id: left out of text for users.
  std::vector<bool> special;

 private:
  StringPool spellings_;
  StringIndex index_;
};

/// The merges of a BPE model: which pairs of neighbouring tokens join, how early, and into what.
class MergeTable {
 public:
  struct Merge {
    std::int32_t rank =
        std::numeric_limits<std::int32_t>::max();  ///< lower joins first; max: never
    TokenId product = kNoToken;
  };

  explicit MergeTable(std::size_t capacity);
  /// Of a pair that is listed twice, the later merge counts.
  void insert(TokenId left, TokenId right, Merge merge);
  /// product == kNoToken if the pair does not join.
  Merge find(TokenId left, TokenId right) const;

 private:
  struct Slot {
    std::uint64_t pair;
    Merge merge;
  };
  std::size_t locate(std::uint64_t pair) const;

  std::vector<Slot> slots_;
  std::size_t mask_;
  int shift_;
};

}  // namespace isotope::text
