#include "weights/hub/blob_hash.h"

#include <fmt/format.h>
#include <sha1.h>  // of libmd

#include <variant>

#include "base/sha256.h"
#include "weights/hub/names.h"

namespace isotope::weights::hub {

struct BlobHash::State {
  std::variant<std::monostate, Sha256, SHA1_CTX> hash;
};

namespace {

void update_sha1(SHA1_CTX& sha1, std::span<const std::byte> bytes) {
  SHA1Update(&sha1, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
}

}  // namespace

BlobHash::BlobHash(std::string_view etag, std::int64_t size) : state_(std::make_unique<State>()) {
  if (etag.size() == 64 && etag.find_first_not_of("0123456789abcdef") == etag.npos) {
    state_->hash.emplace<Sha256>();
  } else if (is_commit(etag)) {
    SHA1_CTX& sha1 = state_->hash.emplace<SHA1_CTX>();
    SHA1Init(&sha1);
    const std::string header = fmt::format("blob {}", size);
    update_sha1(sha1, std::as_bytes(std::span(header.c_str(), header.size() + 1)));
  }
}

BlobHash::~BlobHash() = default;

void BlobHash::update(std::span<const std::byte> bytes) {
  if (auto* sha256 = std::get_if<Sha256>(&state_->hash)) sha256->update(bytes);
  if (auto* sha1 = std::get_if<SHA1_CTX>(&state_->hash)) update_sha1(*sha1, bytes);
}

std::string BlobHash::finish() {
  if (auto* sha256 = std::get_if<Sha256>(&state_->hash)) return hex(sha256->finish());
  auto* sha1 = std::get_if<SHA1_CTX>(&state_->hash);
  if (!sha1) return {};
  std::uint8_t digest[SHA1_DIGEST_LENGTH];
  SHA1Final(digest, sha1);
  std::string text;
  for (const std::uint8_t byte : digest) text += fmt::format("{:02x}", byte);
  return text;
}

}  // namespace isotope::weights::hub
