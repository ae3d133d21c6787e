#include "kv/block_pool.h"

#include <limits>
#include <random>

#include "base/error.h"
#include "kv/siphash.h"

namespace isotope::kv {
namespace {

const SipWords& process_key() {
  static const SipWords key = [] {
    std::random_device device;
    const auto word = [&device] { return std::uint64_t(device()) << 32 | device(); };
    return SipWords{word(), word()};
  }();
  return key;
}

}  // namespace

BlockHash hash_block(const BlockHash& parent, std::span<const std::int32_t> tokens,
                     std::uint64_t salt) {
  // The parent and the salt are mixed into the key instead of being copied in front of the tokens:
  // one digest under the secret key makes the block's own key.
  const std::uint64_t header[] = {parent.low, parent.high, salt};
  const SipWords key = siphash128(process_key(), std::as_bytes(std::span(header)));
  const SipWords digest = siphash128(key, std::as_bytes(tokens));
  return {digest.low, digest.high};
}

BlockPool::BlockPool(std::int64_t num_blocks, std::int64_t block_size, bool prefix_caching)
    : block_size_(block_size), prefix_caching_(prefix_caching) {
  ISOTOPE_ASSERT(num_blocks > 0 && num_blocks <= std::numeric_limits<BlockId>::max());
  ISOTOPE_ASSERT(block_size > 0);
  blocks_.resize(std::size_t(num_blocks));
  free_.reserve(blocks_.size());
  for (std::int64_t i = num_blocks - 1; i >= 0; --i) free_.push_back(BlockId(i));
}

BlockPool::Block& BlockPool::at(BlockId block) {
  ISOTOPE_ASSERT(block >= 0 && std::size_t(block) < blocks_.size());
  return blocks_[std::size_t(block)];
}

std::optional<BlockId> BlockPool::allocate() {
  BlockId id;
  if (!free_.empty()) {
    id = free_.back();
    free_.pop_back();
  } else if (!lru_.empty()) {
    id = lru_.front();
    lru_.pop_front();
    index_.erase(at(id).hash);
    at(id).published = false;
  } else {
    return std::nullopt;
  }
  at(id).count = 1;
  return id;
}

std::optional<BlockId> BlockPool::acquire(const BlockHash& hash) {
  const auto found = index_.find(hash);
  if (found == index_.end()) return std::nullopt;
  Block& block = at(found->second);
  if (block.count == 0) lru_.erase(block.lru);
  ++block.count;
  return found->second;
}

BlockPool::Lookup BlockPool::lookup(const BlockHash& hash) const {
  const auto found = index_.find(hash);
  if (found == index_.end()) return Lookup::absent;
  return blocks_[std::size_t(found->second)].count > 0 ? Lookup::held : Lookup::cached;
}

void BlockPool::release(BlockId id) {
  Block& block = at(id);
  ISOTOPE_ASSERT(block.count > 0);
  if (--block.count > 0) return;
  if (block.published)
    block.lru = lru_.insert(lru_.end(), id);
  else
    free_.push_back(id);
}

void BlockPool::publish(BlockId id, const BlockHash& hash) {
  Block& block = at(id);
  ISOTOPE_ASSERT(block.count > 0);
  if (!prefix_caching_ || block.published) return;
  if (!index_.try_emplace(hash, id).second) return;
  block.published = true;
  block.hash = hash;
}

void BlockPool::clear_cache() {
  for (const BlockId id : lru_) {
    index_.erase(at(id).hash);
    at(id).published = false;
    free_.push_back(id);
  }
  lru_.clear();
}

void BlockPool::check_integrity() const {
  check_lists();
  std::int64_t num_held = 0, num_published = 0;
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    const Block& block = blocks_[i];
    if (block.count < 0) fail(ErrorCode::internal, "block {} has count {}", i, block.count);
    num_held += block.count > 0;
    num_published += block.published;
    if (!block.published) continue;
    const auto found = index_.find(block.hash);
    if (found == index_.end() || std::size_t(found->second) != i)
      fail(ErrorCode::internal, "published block {} is not found by its hash", i);
  }
  if (num_held != held())
    fail(ErrorCode::internal, "blocks: {} free + {} held + {} cached, total {}", free_.size(),
         num_held, lru_.size(), blocks_.size());
  if (num_published != std::int64_t(index_.size()))
    fail(ErrorCode::internal, "{} blocks are published, {} indexed", num_published, index_.size());
}

void BlockPool::check_lists() const {
  std::vector<bool> seen(blocks_.size());
  const auto visit = [&](BlockId id, bool published, const char* list) {
    const Block& block = blocks_.at(std::size_t(id));
    if (seen[std::size_t(id)]) fail(ErrorCode::internal, "block {} is listed twice", id);
    if (block.count != 0 || block.published != published)
      fail(ErrorCode::internal, "block {} is {} with count {}, published {}", id, list, block.count,
           block.published);
    seen[std::size_t(id)] = true;
  };
  for (const BlockId id : free_) visit(id, false, "free");
  for (auto it = lru_.begin(); it != lru_.end(); ++it) {
    visit(*it, true, "cached");
    if (blocks_[std::size_t(*it)].lru != it)
      fail(ErrorCode::internal, "cached block {} points elsewhere in the list", *it);
  }
}

}  // namespace isotope::kv
