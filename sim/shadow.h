// Which bytes of an allocation have been written: a bit for each.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "sim/wave.h"

namespace isotope::sim {

class Shadow {
 public:
  /// Nothing is written yet. Takes no memory where nothing ever is.
  explicit Shadow(std::size_t bytes);

  std::size_t bytes() const { return bytes_; }
  /// How many bytes are not written.
  std::size_t missing() const { return missing_; }

  /// Of at most 16 bytes from byte `at`: what a lane accesses at once.
  bool test(std::size_t at, u32 bytes) const {
    const u32 wanted = (1u << bytes) - 1;
    return (window(at) & wanted) == wanted;
  }
  void set(std::size_t at, u32 bytes) {
    u32 word;
    u8* const from = bits_.get() + at / 8;
    std::memcpy(&word, from, sizeof(word));
    const u32 wanted = ((1u << bytes) - 1) << at % 8;
    missing_ -= std::size_t(std::popcount(wanted & ~word));
    word |= wanted;
    std::memcpy(from, &word, sizeof(word));
  }

  bool test_range(std::size_t at, std::size_t bytes) const;
  void set_range(std::size_t at, std::size_t bytes);
  /// Takes over what `source` knows of its bytes from `from` on; they may overlap.
  void copy_range(std::size_t at, const Shadow& source, std::size_t from, std::size_t bytes);

 private:
  /// At least 25 bits from byte `at` on.
  u32 window(std::size_t at) const {
    u32 word;
    std::memcpy(&word, bits_.get() + at / 8, sizeof(word));
    return word >> at % 8;
  }
  void assign(std::size_t at, u32 bytes, u32 bits);

  struct Free {
    void operator()(u8* p) const { std::free(p); }
  };
  std::unique_ptr<u8[], Free> bits_;
  std::size_t bytes_, missing_;
};

}  // namespace isotope::sim
