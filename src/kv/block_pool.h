// Blocks of the paged KV cache: who holds them, which can be reused for a known prefix. Integers
// only.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace isotope::kv {

using BlockId = std::int32_t;

/// Identifies a full block by everything that determines its content: the hash of the block before
/// it, its tokens and salt. 128 bits, so that an accidental collision is out of question; keyed
/// with a secret of this process, so that nobody can write a prompt that is taken for another one.
struct BlockHash {
  std::uint64_t low = 0, high = 0;
  bool operator==(const BlockHash&) const = default;
};

struct HashOfBlockHash {
  std::size_t operator()(const BlockHash& hash) const { return std::size_t(hash.low); }
};

/// Hash of the block that holds `tokens` and follows `parent` (all zero before the first block).
/// `salt` carries what else changes its content: how many of the tokens belong to the prompt (their
/// kernels may differ from those of generated tokens).
BlockHash hash_block(const BlockHash& parent, std::span<const std::int32_t> tokens,
                     std::uint64_t salt);

/// Reference-counted blocks with a prefix index. A block is in exactly one state: free (content
/// unknown), held (count > 0), or cached (count 0, published, content kept until the space is
/// needed; least recently released goes first). Invariant: free + held + cached = total.
class BlockPool {
 public:
  BlockPool(std::int64_t num_blocks, std::int64_t block_size, bool prefix_caching);

  std::int64_t total() const { return std::int64_t(blocks_.size()); }
  std::int64_t block_size() const { return block_size_; }
  /// Blocks that allocate() can give: free and cached.
  std::int64_t available() const { return std::int64_t(free_.size() + lru_.size()); }
  std::int64_t cached() const { return std::int64_t(lru_.size()); }
  std::int64_t held() const { return total() - available(); }
  bool prefix_caching() const { return prefix_caching_; }

  /// A block with count 1, or nullopt. Takes a free block, or else evicts the least recently
  /// released cached one.
  std::optional<BlockId> allocate();
  /// The published block with this hash, its count raised; nullopt if there is none.
  std::optional<BlockId> acquire(const BlockHash& hash);
  /// Whether acquire() would succeed, and whether it would use up an available block (it is cached,
  /// not held).
  enum class Lookup { absent, cached, held };
  Lookup lookup(const BlockHash& hash) const;
  /// Lowers the count; at 0 the block is cached if published, else free.
  void release(BlockId block);
  /// Makes a full, held block findable. If the hash is known already, the first block stays the one
  /// found. Without prefix caching nothing is ever found.
  void publish(BlockId block, const BlockHash& hash);
  /// Forgets every cached block.
  void clear_cache();

  /// Checks the invariant and all links; an internal Error says what is broken.
  void check_integrity() const;

 private:
  struct Block {
    std::int32_t count = 0;
    bool published = false;
    BlockHash hash;
    std::list<BlockId>::iterator lru;  // valid while cached
  };

  Block& at(BlockId block);
  void check_lists() const;

  std::int64_t block_size_;
  bool prefix_caching_;
  std::vector<Block> blocks_;
  std::vector<BlockId> free_;
  std::list<BlockId> lru_;  // cached blocks, next victim first
  std::unordered_map<BlockHash, BlockId, HashOfBlockHash> index_;
};

}  // namespace isotope::kv
