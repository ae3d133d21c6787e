// The checksum that an ETag of the hub is.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace isotope::weights::hub {

/// SHA-256 for an ETag of 64 hexadecimal digits (files in large storage), SHA-1 over git's header
/// and content for one of 40; other ETags, as mirrors may send them, promise nothing.
class BlobHash {
 public:
  BlobHash(std::string_view etag, std::int64_t size);
  ~BlobHash();
  void update(std::span<const std::byte> bytes);
  /// The checksum in hexadecimal digits; empty where the ETag promises nothing.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace isotope::weights::hub
