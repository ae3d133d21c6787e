// Memory of the emulated GPU and page-locked memory of its host: ordinary memory with everything
// around it closed.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <string>

namespace isotope::emulated {

/// memset; zeros over many pages give them back instead, so that a large cache costs what is used
/// of it.
void fill_bytes(void* target, unsigned char value, std::size_t bytes);

/// Not safe for use by several threads at once.
class Memory {
 public:
  Memory();
  std::size_t total() const { return total_; }
  std::size_t used() const { return used_; }

  /// Aligned to 256 bytes, ending within 256 bytes of a closed page; full of 0xff as far as that is
  /// cheap. Page-locked memory does not count. Null if there is not enough.
  void* allocate(std::size_t bytes, bool pinned);
  /// Empty, or what is wrong: no such allocation, or something was written beside it.
  std::string free(void* data, bool pinned);

  bool begins_inside(const void* data, bool pinned) const;
  bool inside(const void* data, std::size_t bytes, bool pinned) const;
  /// Where an address lies: ", byte 12 of an allocation of 8 bytes", or nothing.
  std::string describe(const void* address) const;

 private:
  struct Allocation {
    std::size_t bytes = 0;
    bool pinned = false;
    unsigned char* mapped = nullptr;  // the closed page before it
    std::size_t mapped_bytes = 0;     // with both closed pages
  };
  using Map = std::map<const unsigned char*, Allocation>;
  Map::const_iterator at_or_before(const void* address) const;
  std::string damage(const unsigned char* data, const Allocation& allocation) const;

  std::size_t total_, used_ = 0;
  Map live_;
  std::deque<std::pair<const unsigned char*, Allocation>> freed_;  // closed, not yet given back
};

}  // namespace isotope::emulated
