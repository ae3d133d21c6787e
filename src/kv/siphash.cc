#include "kv/siphash.h"

#include <bit>
#include <cstring>

namespace isotope::kv {
namespace {

static_assert(std::endian::native == std::endian::little, "words are read in host order");

struct State {
  std::uint64_t v0, v1, v2, v3;

  void round() {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
  void absorb(std::uint64_t word) {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
  std::uint64_t finish() {
    for (int i = 0; i < 4; ++i) round();
    return v0 ^ v1 ^ v2 ^ v3;
  }
};

}  // namespace

SipWords siphash128(const SipWords& key, std::span<const std::byte> message) {
  // "somepseudorandomlygeneratedbytes"; the 0xee marks the 128-bit variant.
  State state{key.low ^ 0x736f6d6570736575, key.high ^ 0x646f72616e646f6d ^ 0xee,
              key.low ^ 0x6c7967656e657261, key.high ^ 0x7465646279746573};
  std::size_t i = 0;
  for (; i + 8 <= message.size(); i += 8) {
    std::uint64_t word;
    std::memcpy(&word, message.data() + i, sizeof word);
    state.absorb(word);
  }
  std::uint64_t last = std::uint64_t(message.size()) << 56;
  if (i < message.size()) std::memcpy(&last, message.data() + i, message.size() - i);
  state.absorb(last);

  SipWords digest;
  state.v2 ^= 0xee;
  digest.low = state.finish();
  state.v1 ^= 0xdd;
  digest.high = state.finish();
  return digest;
}

}  // namespace isotope::kv
