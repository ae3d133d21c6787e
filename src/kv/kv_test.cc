#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "kv/block_pool.h"
#include "kv/siphash.h"

namespace isotope::kv {
namespace {

using Lookup = BlockPool::Lookup;

std::string hex(const SipWords& words) {
  std::string text;
  for (const std::uint64_t word : {words.low, words.high})
    for (int i = 0; i < 8; ++i) {
      char byte[3];
      std::snprintf(byte, sizeof byte, "%02X", unsigned(word >> (8 * i) & 0xff));
      text += byte;
    }
  return text;
}

// Key 00 01 … 0f, message 00 01 … n-1, as in the reference's vectors; digests printed by
// `openssl mac -macopt hexkey:000102…0f -macopt size:16 SIPHASH` (OpenSSL 3.0).
TEST(SipHash, AgreesWithOpenssl) {
  const std::map<std::size_t, std::string> expected = {
      {0, "A3817F04BA25A8E66DF67214C7550293"},  {1, "DA87C1D86B99AF44347659119B22FC45"},
      {7, "A1F1EBBED8DBC153C0B84AA61FF08239"},  {8, "3B62A9BA6258F5610F83E264F31497B4"},
      {9, "264499060AD9BAABC47F8B02BB6D71ED"},  {15, "5493E99933B0A8117E08EC0F97CFC3D9"},
      {16, "6EE2A4CA67B054BBFD3315BF85230577"}, {63, "5150D1772F50834A503E069A973FBD7C"}};
  const SipWords key{0x0706050403020100, 0x0f0e0d0c0b0a0908};
  for (const auto& [size, digest] : expected) {
    std::vector<std::byte> message(size);
    for (std::size_t i = 0; i < size; ++i) message[i] = std::byte(i);
    EXPECT_EQ(hex(siphash128(key, message)), digest) << size;
  }
}

TEST(BlockHash, DependsOnParentTokensOrderAndSalt) {
  const std::vector<std::int32_t> a{1, 2, 3, 4}, b{1, 2, 4, 3};
  const BlockHash base = hash_block({}, a, 4);
  EXPECT_EQ(hash_block({}, a, 4), base);
  EXPECT_FALSE(hash_block({}, b, 4) == base);
  EXPECT_FALSE(hash_block({}, a, 3) == base);
  EXPECT_FALSE(hash_block({1, 0}, a, 4) == base);
  EXPECT_FALSE(hash_block({0, 1}, a, 4) == base);
}

TEST(BlockPool, GivesEveryBlockOnceThenNone) {
  BlockPool pool(5, 16, true);
  std::set<BlockId> given;
  for (int i = 0; i < 5; ++i) given.insert(pool.allocate().value());
  EXPECT_EQ(given, (std::set<BlockId>{0, 1, 2, 3, 4}));
  EXPECT_EQ(pool.allocate(), std::nullopt);
  EXPECT_EQ(pool.held(), 5);
  pool.release(3);
  EXPECT_EQ(pool.allocate(), 3);
}

TEST(BlockPool, LeastRecentlyReleasedIsEvictedFirst) {
  BlockPool pool(3, 16, true);
  const BlockHash hashes[] = {{1, 0}, {2, 0}, {3, 0}};
  BlockId ids[3];
  for (int i = 0; i < 3; ++i) {
    ids[i] = pool.allocate().value();
    pool.publish(ids[i], hashes[i]);
  }
  pool.release(ids[1]);
  pool.release(ids[0]);
  pool.release(ids[2]);
  EXPECT_EQ(pool.cached(), 3);
  EXPECT_EQ(pool.acquire(hashes[1]), ids[1]);  // a use makes it the youngest again
  pool.release(ids[1]);
  EXPECT_EQ(pool.allocate(), ids[0]);
  EXPECT_EQ(pool.lookup(hashes[0]), Lookup::absent);
  EXPECT_EQ(pool.allocate(), ids[2]);
  EXPECT_EQ(pool.lookup(hashes[1]), Lookup::cached);
  EXPECT_EQ(pool.allocate(), ids[1]);
  EXPECT_EQ(pool.acquire(hashes[1]), std::nullopt);
  pool.check_integrity();
}

TEST(BlockPool, TheFirstPublisherOfAHashStaysTheOneFound) {
  BlockPool pool(2, 16, true);
  const BlockId first = pool.allocate().value(), second = pool.allocate().value();
  pool.publish(first, {7, 7});
  pool.publish(second, {7, 7});
  EXPECT_EQ(pool.acquire({7, 7}), first);
  pool.release(second);  // unpublished: free at once
  EXPECT_EQ(pool.cached(), 0);
  EXPECT_EQ(pool.available(), 1);
  pool.release(first);
  EXPECT_EQ(pool.lookup({7, 7}), Lookup::held);
  pool.release(first);
  EXPECT_EQ(pool.lookup({7, 7}), Lookup::cached);
  pool.check_integrity();
}

TEST(BlockPool, ClearForgetsCachedBlocksOnly) {
  BlockPool pool(2, 16, true);
  const BlockId cached = pool.allocate().value(), held = pool.allocate().value();
  pool.publish(cached, {1, 1});
  pool.publish(held, {2, 2});
  pool.release(cached);
  pool.clear_cache();
  EXPECT_EQ(pool.lookup({1, 1}), Lookup::absent);
  EXPECT_EQ(pool.lookup({2, 2}), Lookup::held);
  EXPECT_EQ(pool.available(), 1);
  pool.check_integrity();
}

TEST(BlockPool, WithoutPrefixCachingNothingIsFound) {
  BlockPool pool(1, 16, false);
  const BlockId block = pool.allocate().value();
  pool.publish(block, {1, 1});
  EXPECT_EQ(pool.lookup({1, 1}), Lookup::absent);
  pool.release(block);
  EXPECT_EQ(pool.cached(), 0);
  EXPECT_EQ(pool.available(), 1);
}

TEST(BlockPoolDeathTest, ReleasingTooOftenIsCaught) {
  BlockPool pool(1, 16, true);
  const BlockId block = pool.allocate().value();
  pool.release(block);
  EXPECT_DEATH(pool.release(block), "count > 0");
  EXPECT_DEATH(pool.release(17), "does not hold");
  EXPECT_DEATH(pool.publish(block, {1, 1}), "count > 0");
}

/// The pool as a few maps: the obvious version that random operations are compared with.
struct PlainPool {
  std::map<BlockId, int> counts;            // held blocks
  std::map<std::uint64_t, BlockId> by_key;  // published
  std::vector<BlockId> lru;
  std::int64_t total;

  std::int64_t available() const { return total - std::int64_t(counts.size()); }
  std::optional<std::uint64_t> key_of(BlockId block) const {
    for (const auto& [key, id] : by_key)
      if (id == block) return key;
    return std::nullopt;
  }
  void allocated(BlockId block) {
    if (const auto key = key_of(block)) {
      // Only when nothing is free may a cached block go, and then the oldest.
      EXPECT_EQ(available(), std::int64_t(lru.size()));
      EXPECT_EQ(block, lru.front());
      lru.erase(lru.begin());
      by_key.erase(*key);
    }
    EXPECT_FALSE(counts.contains(block));
    counts[block] = 1;
  }
  void acquired(BlockId block) {
    std::erase(lru, block);
    ++counts[block];
  }
  void released(BlockId block) {
    if (--counts[block] > 0) return;
    counts.erase(block);
    if (key_of(block)) lru.push_back(block);
  }
};

TEST(BlockPool, RandomOperationsAgreeWithAPlainModel) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&random](std::size_t n) { return std::size_t(random() % n); };
    const std::int64_t total = 1 + std::int64_t(pick(12));
    BlockPool pool(total, 16, true);
    PlainPool plain{.total = total};
    std::vector<BlockId> references;  // one entry for each count
    for (int i = 0; i < 3000; ++i) {
      const std::uint64_t key = pick(16);
      const std::size_t operation = pick(100);
      if (operation < 30) {
        const auto block = pool.allocate();
        ASSERT_EQ(block.has_value(), plain.available() > 0);
        if (block) {
          plain.allocated(*block);
          references.push_back(*block);
        }
      } else if (operation < 50) {
        const auto known = plain.by_key.find(key);
        const auto block = pool.acquire({key, 1});
        ASSERT_EQ(block.has_value(), known != plain.by_key.end());
        if (block) {
          ASSERT_EQ(*block, known->second);
          plain.acquired(*block);
          references.push_back(*block);
        }
      } else if (operation < 75 && !references.empty()) {
        const BlockId block = references[pick(references.size())];
        const bool was_published = plain.key_of(block).has_value();
        pool.publish(block, {key, 1});
        if (!was_published) plain.by_key.try_emplace(key, block);
      } else if (operation < 99 && !references.empty()) {
        std::swap(references[pick(references.size())], references.back());
        pool.release(references.back());
        plain.released(references.back());
        references.pop_back();
      } else if (operation == 99) {
        pool.clear_cache();
        for (const BlockId block : plain.lru) plain.by_key.erase(*plain.key_of(block));
        plain.lru.clear();
      }
      ASSERT_EQ(pool.available(), plain.available());
      ASSERT_EQ(pool.cached(), std::int64_t(plain.lru.size()));
      const auto known = plain.by_key.find(key);
      const Lookup expected = known == plain.by_key.end()            ? Lookup::absent
                              : plain.counts.contains(known->second) ? Lookup::held
                                                                     : Lookup::cached;
      ASSERT_EQ(pool.lookup({key, 1}), expected);
      ASSERT_NO_THROW(pool.check_integrity());
    }
  }
}

}  // namespace
}  // namespace isotope::kv
