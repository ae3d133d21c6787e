// Loads, stores and atomics in every kind of memory: what each does is said once more here, byte by
// byte.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "sim/testing.h"

namespace isotope::sim {
namespace {

/// `half`: -1 a whole register, else the first bit of the half that is loaded or stored.
struct MoveCase {
  const char* global;  ///< behind "global_load_", "flat_load_", "scratch_load_"
  const char* lds;     ///< behind "ds_load_"
  u32 bytes;
  bool is_signed;
  int half;
};
constexpr MoveCase kLoads[] = {
    {"u8", "u8", 1, false, -1},
    {"i8", "i8", 1, true, -1},
    {"u16", "u16", 2, false, -1},
    {"i16", "i16", 2, true, -1},
    {"b32", "b32", 4, false, -1},
    {"b64", "b64", 8, false, -1},
    {"b96", "b96", 12, false, -1},
    {"b128", "b128", 16, false, -1},
    {"d16_u8", "u8_d16", 1, false, 0},
    {"d16_i8", "i8_d16", 1, true, 0},
    {"d16_b16", "u16_d16", 2, false, 0},
    {"d16_hi_u8", "u8_d16_hi", 1, false, 16},
    {"d16_hi_i8", "i8_d16_hi", 1, true, 16},
    {"d16_hi_b16", "u16_d16_hi", 2, false, 16},
};
constexpr MoveCase kStores[] = {
    {"b8", "b8", 1, false, -1},
    {"b16", "b16", 2, false, -1},
    {"b32", "b32", 4, false, -1},
    {"b64", "b64", 8, false, -1},
    {"b96", "b96", 12, false, -1},
    {"b128", "b128", 16, false, -1},
    {"d16_hi_b8", "b8_d16_hi", 1, false, 16},
    {"d16_hi_b16", "b16_d16_hi", 2, false, 16},
};

struct AtomicCase {
  const char* name;  ///< "add_u32"
  const char* lds;   ///< "add", between "ds_" or "_rtn" and the type; null: there is none
  const char* type;  ///< "u32"
  bool global;       ///< there is one for global memory
  u32 bytes;
  int operands;  ///< of data
  u64 (*made)(u64 old, u64 data, u64 second);
  bool is_float = false;
};
enum class Space : u8 { scalar_base, off, flat, flat_lds, flat_scratch, scratch, lds };

/// A wave whose lanes access 4 KiB in one kind of memory.
class AccessWave : public TestWave {
 public:
  static constexpr u32 kBytes = 4096;
  explicit AccessWave(Space space);
  /// Puts the lanes' offsets, less the instruction's, into v0 (and v1).
  void aim(const std::array<u32, kLanes>& offsets, i32 instruction_offset);
  /// The memory that lane sees.
  u8* seen_by(int lane);
  /// "global_load_b32 v8, v0, s[2:3] offset:4" of these parts; data or result may be empty.
  std::string line(const std::string& operation, const std::string& result, const std::string& data,
                   i32 offset) const;
  void fill(std::mt19937_64& random);
  /// Each lane sees memory of its own.
  bool owns_memory() const { return space_ == Space::scratch || space_ == Space::flat_scratch; }

 private:
  Space space_;
  std::vector<u8> global_;
};

template <typename T>
u64 bits_of(T value) {
  u64 bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}
template <typename T>
T value_of(u64 bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

template <typename T>
u64 min_number(u64 old, u64 data, u64) {
  const T tmp = value_of<T>(old), src = value_of<T>(data);
  if (src != src && tmp != tmp) return bits_of(src + T(0));
  if (src != src) return old;
  if (tmp != tmp) return data;
  if (src < tmp || (src == 0 && tmp == 0 && std::signbit(src) && !std::signbit(tmp))) return data;
  return old;
}
template <typename T>
u64 max_number(u64 old, u64 data, u64) {
  const T tmp = value_of<T>(old), src = value_of<T>(data);
  if (src != src && tmp != tmp) return bits_of(src + T(0));
  if (src != src) return old;
  if (tmp != tmp) return data;
  if (src > tmp || (src == 0 && tmp == 0 && !std::signbit(src) && std::signbit(tmp))) return data;
  return old;
}

u64 add_f16(u64 a, u64 b) {
  const auto sum = _Float16(value_of<_Float16>(a) + value_of<_Float16>(b));
  return sum != sum ? 0x7e00 : bits_of(sum);
}
/// The nearest of the two neighbours of an exact sum, even on ties.
u64 add_bf16(u64 a, u64 b) {
  const double sum = double(value_of<float>(u32(a) << 16)) + double(value_of<float>(u32(b) << 16));
  if (sum != sum) return 0x7fc0;
  u32 below = u32(bits_of(float(sum)) & 0x7fff0000);
  while (below && double(value_of<float>(below)) > std::abs(sum)) below -= 0x10000;
  const double low = value_of<float>(below), next = value_of<float>(below + 0x10000);
  // Beyond the largest number infinity stands for the next power of two.
  const double high = below + 0x10000 == 0x7f800000 ? std::ldexp(1.0, 128) : next;
  const double to_low = std::abs(sum) - low, to_high = high - std::abs(sum);
  const bool up =
      below < 0x7f800000 && (to_high < to_low || (to_high == to_low && (below >> 16 & 1)));
  return (below + (up ? 0x10000 : 0)) >> 16 | (std::signbit(sum) ? 0x8000 : 0);
}
template <u64 (*kAdd)(u64, u64)>
u64 add_pair(u64 old, u64 data, u64) {
  return kAdd(old & 0xffff, data & 0xffff) | kAdd(old >> 16, data >> 16) << 16;
}

template <typename T>
T of(u64 x) {
  return T(x);
}

using U = u64;
const AtomicCase kAtomics[] = {
    {"add_u32", "add", "u32", true, 4, 1, [](U m, U d, U) -> U { return of<u32>(m + d); }},
    {"sub_u32", "sub", "u32", true, 4, 1, [](U m, U d, U) -> U { return of<u32>(m - d); }},
    {"", "rsub", "u32", false, 4, 1, [](U m, U d, U) -> U { return of<u32>(d - m); }},
    {"inc_u32", "inc", "u32", true, 4, 1, [](U m, U d, U) -> U { return m >= d ? 0 : m + 1; }},
    {"dec_u32", "dec", "u32", true, 4, 1,
     [](U m, U d, U) -> U { return m == 0 || m > d ? d : m - 1; }},
    {"min_i32", "min", "i32", true, 4, 1, [](U m, U d, U) -> U { return i32(d) < i32(m) ? d : m; }},
    {"max_i32", "max", "i32", true, 4, 1,
     [](U m, U d, U) -> U { return i32(d) >= i32(m) ? d : m; }},
    {"min_u32", "min", "u32", true, 4, 1, [](U m, U d, U) -> U { return d < m ? d : m; }},
    {"max_u32", "max", "u32", true, 4, 1, [](U m, U d, U) -> U { return d >= m ? d : m; }},
    {"and_b32", "and", "b32", true, 4, 1, [](U m, U d, U) -> U { return m & d; }},
    {"or_b32", "or", "b32", true, 4, 1, [](U m, U d, U) -> U { return m | d; }},
    {"xor_b32", "xor", "b32", true, 4, 1, [](U m, U d, U) -> U { return m ^ d; }},
    {"", "mskor", "b32", false, 4, 2, [](U m, U d, U e) -> U { return (m & ~d) | e; }},
    {"swap_b32", "storexchg", "b32", true, 4, 1, [](U, U d, U) -> U { return d; }},
    {"cmpswap_b32", "cmpstore", "b32", true, 4, 2,
     [](U m, U d, U e) -> U { return m == e ? d : m; }},
    {"sub_clamp_u32", "sub_clamp", "u32", true, 4, 1,
     [](U m, U d, U) -> U { return m < d ? 0 : m - d; }},
    {"cond_sub_u32", "cond_sub", "u32", true, 4, 1,
     [](U m, U d, U) -> U { return m >= d ? m - d : m; }},
    {"add_u64", "add", "u64", true, 8, 1, [](U m, U d, U) -> U { return m + d; }},
    {"sub_u64", "sub", "u64", true, 8, 1, [](U m, U d, U) -> U { return m - d; }},
    {"", "rsub", "u64", false, 8, 1, [](U m, U d, U) -> U { return d - m; }},
    {"inc_u64", "inc", "u64", true, 8, 1, [](U m, U d, U) -> U { return m >= d ? 0 : m + 1; }},
    {"dec_u64", "dec", "u64", true, 8, 1,
     [](U m, U d, U) -> U { return m == 0 || m > d ? d : m - 1; }},
    {"min_i64", "min", "i64", true, 8, 1, [](U m, U d, U) -> U { return i64(d) < i64(m) ? d : m; }},
    {"max_i64", "max", "i64", true, 8, 1,
     [](U m, U d, U) -> U { return i64(d) >= i64(m) ? d : m; }},
    {"min_u64", "min", "u64", true, 8, 1, [](U m, U d, U) -> U { return d < m ? d : m; }},
    {"max_u64", "max", "u64", true, 8, 1, [](U m, U d, U) -> U { return d >= m ? d : m; }},
    {"and_b64", "and", "b64", true, 8, 1, [](U m, U d, U) -> U { return m & d; }},
    {"or_b64", "or", "b64", true, 8, 1, [](U m, U d, U) -> U { return m | d; }},
    {"xor_b64", "xor", "b64", true, 8, 1, [](U m, U d, U) -> U { return m ^ d; }},
    {"", "mskor", "b64", false, 8, 2, [](U m, U d, U e) -> U { return (m & ~d) | e; }},
    {"swap_b64", "storexchg", "b64", true, 8, 1, [](U, U d, U) -> U { return d; }},
    {"cmpswap_b64", "cmpstore", "b64", true, 8, 2,
     [](U m, U d, U e) -> U { return m == e ? d : m; }},
    {"add_f32", "add", "f32", true, 4, 1,
     [](U m, U d,
        U) -> U { return bits_of(float(double(value_of<float>(m)) + double(value_of<float>(d)))); },
     true},
    {"min_num_f32", "min_num", "f32", true, 4, 1, min_number<float>, true},
    {"max_num_f32", "max_num", "f32", true, 4, 1, max_number<float>, true},
    {"", "min_num", "f64", false, 8, 1, min_number<double>, true},
    {"", "max_num", "f64", false, 8, 1, max_number<double>, true},
    {"pk_add_f16", "pk_add", "f16", true, 4, 1, add_pair<add_f16>, true},
    {"pk_add_bf16", "pk_add", "bf16", true, 4, 1, add_pair<add_bf16>, true},
};

bool is_nan(std::string_view type, u64 bits) {
  if (type == "f64") return std::isnan(value_of<double>(bits));
  if (type == "f32") return std::isnan(value_of<float>(bits));
  return (bits & 0x7fff) > (type == "f16" ? 0x7c00u : 0x7f80u);
}

/// A register after a load into it of one lane: word `word` of what `from` has.
u32 loaded_word(const MoveCase& move, const u8* from, u32 word, u32 before) {
  u32 value = 0;
  const u32 count = std::min(4u, move.bytes - word * 4);
  for (u32 i = 0; i < count; ++i) value |= u32(from[word * 4 + i]) << 8 * i;
  if (move.is_signed && from[move.bytes - 1] & 0x80) value |= ~0u << 8 * move.bytes;
  if (move.half < 0) return value;
  const u32 kept = move.half == 0 ? 0xffff0000 : 0x0000ffff;
  return (before & kept) | (value & 0xffff) << move.half;
}

/// Numbers that meet and that are special: small ones, extremes, NaN, infinities.
u64 interesting(std::mt19937_64& random, u32 bytes) {
  constexpr u64 kWords[] = {0,          1,          2,          0x80000000, 0x7fffffff,
                            0xffffffff, 0x7f800000, 0xff800000, 0x7fc00001, 0x7f800001,
                            0x3f800000, 0xbf800000, 0x00000001, 0x7bff7bff, 0x7f7f7f7f,
                            0x7f7fffff, 0x7c00fc00, 0x80008000, 0x04000400};
  constexpr u64 kLong[] = {0,
                           1,
                           2,
                           ~u64(0),
                           u64(1) << 63,
                           ~u64(0) >> 1,
                           0x7ff0000000000000,
                           0xfff0000000000000,
                           0x7ff8000000000001,
                           0x7ff0000000000001,
                           0x3ff0000000000000,
                           0xbff0000000000000};
  const u64 draw = random();
  if (bytes == 4) return draw & 1 ? kWords[draw / 2 % std::size(kWords)] : draw >> 32;
  return draw & 1 ? kLong[draw / 2 % std::size(kLong)] : random();
}

/// Equal, or both NaN as numbers of that size.
bool same_value(const AtomicCase& operation, u64 a, u64 b) {
  if (a == b) return true;
  if (!operation.is_float) return false;
  const std::string_view type = operation.type;
  if (!type.ends_with("f16")) return is_nan(type, a) && is_nan(type, b);
  for (const int shift : {0, 16}) {
    const u64 x = a >> shift & 0xffff, y = b >> shift & 0xffff;
    if (x != y && !(is_nan(type, x) && is_nan(type, y))) return false;
  }
  return true;
}

AccessWave::AccessWave(Space space)
    : TestWave(kBytes),
      space_(space),
      global_(space == Space::lds || space == Space::scratch ? 0 : kBytes) {
  wave.scratch_bytes = kBytes;
  wave.scratch.resize(std::size_t(kBytes) * kLanes);
  if (!global_.empty()) memory.add(global_.data(), global_.size(), "test data");
}

void AccessWave::aim(const std::array<u32, kLanes>& offsets, i32 instruction_offset) {
  const u64 base = u64(global_.data());
  // The base is so that lanes' parts have no sign.
  const i64 part = space_ == Space::scalar_base ? 100 : space_ == Space::scratch ? 8 : 0;
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    i64 address = i64(offsets[lane]) - instruction_offset;
    if (space_ == Space::off || space_ == Space::flat) address += i64(base);
    if (space_ == Space::flat_lds) address += i64(1) << 48;
    if (space_ == Space::flat_scratch) address += i64(2) << 48;
    if (space_ == Space::scalar_base) address += instruction_offset + part;
    if (space_ == Space::scratch) address -= part;
    wave.vgpr[0][lane] = u32(address);
    wave.vgpr[1][lane] = u32(u64(address) >> 32);
  }
  const u64 scalar = base - u64(i64(instruction_offset) + part);
  wave.sgpr[2] = u32(scalar), wave.sgpr[3] = u32(scalar >> 32);
  wave.sgpr[4] = u32(part);
}

u8* AccessWave::seen_by(int lane) {
  if (space_ == Space::lds || space_ == Space::flat_lds) return group.lds.data();
  if (space_ == Space::scratch || space_ == Space::flat_scratch)
    return wave.scratch.data() + std::size_t(lane) * kBytes;
  return global_.data();
}

std::string AccessWave::line(const std::string& operation, const std::string& result,
                             const std::string& data, i32 offset) const {
  constexpr const char* kPrefixes[] = {"global", "global", "flat", "flat", "flat", "scratch", "ds"};
  constexpr const char* kBases[] = {", s[2:3]", ", off", "", "", "", ", s4", ""};
  const char* base = kBases[int(space_)];
  const bool pair = space_ == Space::off || space_ == Space::flat || space_ == Space::flat_lds ||
                    space_ == Space::flat_scratch;
  return fmt::format(
      "{}_{} {}{}{}{}{}{}", kPrefixes[int(space_)], operation, result.empty() ? "" : result + ", ",
      pair ? "v[0:1]" : "v0", data.empty() ? "" : ", " + data, base,
      offset ? fmt::format(" offset:{}", offset) : "",
      operation.starts_with("atomic") && !result.empty() ? " th:TH_ATOMIC_RETURN" : "");
}

void AccessWave::fill(std::mt19937_64& random) {
  const auto fill_bytes = [&](u8* bytes, std::size_t count) {
    for (std::size_t i = 0; i < count; i += sizeof(u64)) {
      const u64 value = random();
      std::memcpy(bytes + i, &value, sizeof(value));
    }
  };
  for (int lane = 0; lane < (owns_memory() ? kLanes : 1); ++lane) fill_bytes(seen_by(lane), kBytes);
}

std::string registers(int first, u32 bytes) {
  return bytes <= 4 ? fmt::format("v{}", first)
                    : fmt::format("v[{}:{}]", first, first + int(bytes / 4) - 1);
}

/// Lanes' offsets: one behind the other, all the same, or anywhere; so that `bytes` fit.
std::array<u32, kLanes> some_offsets(std::mt19937_64& random, int kind, u32 bytes, u32 alignment) {
  std::array<u32, kLanes> offsets;
  const u32 start = u32(random() % 512) / alignment * alignment;
  for (u32 lane = 0; lane < kLanes; ++lane) {
    const u32 anywhere = u32(random() % (AccessWave::kBytes - bytes)) / alignment * alignment;
    offsets[lane] = kind == 0 ? start + lane * bytes : kind == 1 ? start : anywhere;
  }
  return offsets;
}

u32 some_mask(std::mt19937_64& random, int round) {
  return round % 3 == 0 ? ~0u : round % 3 == 1 ? u32(random()) : 1u << random() % 32;
}

struct Spaced {
  Space space;
  std::array<i32, 3> offsets;
};
const Spaced kSpaces[] = {
    {Space::scalar_base, {0, -8388608, 8388607}},
    {Space::off, {0, -8388608, 8388607}},
    {Space::flat, {0, -64, 4096}},
    {Space::flat_lds, {0, 0, 0}},
    {Space::flat_scratch, {0, 0, 0}},
    {Space::scratch, {0, -16, 24}},
    {Space::lds, {0, 4000, 65528}},
};

class AccessTest : public ::testing::TestWithParam<Spaced> {
 protected:
  AccessTest() : test_(GetParam().space) {}
  bool lds() const { return GetParam().space == Space::lds; }
  void begin(int round, u32 bytes, u32 alignment) {
    mask_ = some_mask(random_, round);
    test_.wave.sgpr[kExecLo] = mask_;
    test_.fill(random_);
    offset_ = GetParam().offsets[std::size_t(round) % 3];
    offsets_ = some_offsets(random_, round / 3 % 3, bytes, alignment);
    test_.aim(offsets_, offset_);
    for (std::size_t v = 8; v < 16; ++v)
      for (u32& value : test_.wave.vgpr[v]) value = u32(random_());
  }
  bool on(u32 lane) const { return mask_ >> lane & 1; }

  AccessWave test_;
  std::mt19937_64 random_{7};
  u32 mask_ = 0;
  i32 offset_ = 0;
  std::array<u32, kLanes> offsets_{};
};

TEST_P(AccessTest, Loads) {
  for (const MoveCase& move : kLoads)
    for (int round = 0; round < 9; ++round) {
      begin(round, move.bytes, 1);
      const auto before = test_.wave.vgpr;
      const std::string line = test_.line(fmt::format("load_{}", lds() ? move.lds : move.global),
                                          registers(8, move.bytes), "", offset_);
      test_.run(line);
      for (u32 lane = 0; lane < kLanes; ++lane)
        for (u32 word = 0; word < 4; ++word) {
          const u32 old = before[8 + word][lane];
          const bool written = on(lane) && word * 4 < move.bytes;
          const u32 expected =
              written ? loaded_word(move, test_.seen_by(int(lane)) + offsets_[lane], word, old)
                      : old;
          ASSERT_EQ(test_.wave.vgpr[8 + word][lane], expected)
              << line << " lane " << lane << " word " << word;
        }
    }
}

TEST_P(AccessTest, Stores) {
  for (const MoveCase& move : kStores)
    for (int round = 0; round < 9; ++round) {
      begin(round, move.bytes, 1);
      const u32 memories = test_.owns_memory() ? kLanes : 1;
      std::vector<std::vector<u8>> expected;
      for (u32 lane = 0; lane < memories; ++lane)
        expected.emplace_back(test_.seen_by(int(lane)),
                              test_.seen_by(int(lane)) + AccessWave::kBytes);
      for (u32 lane = 0; lane < kLanes; ++lane)
        for (u32 i = 0; on(lane) && i < move.bytes; ++i) {
          const u32 word = test_.wave.vgpr[8 + i / 4][lane] >> std::max(move.half, 0);
          expected[lane % memories][offsets_[lane] + i] = u8(word >> i % 4 * 8);
        }
      const std::string line = test_.line(fmt::format("store_{}", lds() ? move.lds : move.global),
                                          "", registers(8, move.bytes), offset_);
      test_.run(line);
      for (u32 lane = 0; lane < memories; ++lane)
        ASSERT_EQ(std::memcmp(test_.seen_by(int(lane)), expected[lane].data(), AccessWave::kBytes),
                  0)
            << line << " lane " << lane;
    }
}

TEST_P(AccessTest, Atomics) {
  if (GetParam().space == Space::scratch) return;  // there are none
  const bool own = test_.owns_memory();
  for (const AtomicCase& atomic : kAtomics)
    for (int round = 0; round < 24; ++round) {
      const bool returns = round % 2 || (lds() && std::string_view(atomic.lds) == "storexchg");
      if (!lds() && !atomic.global) continue;
      begin(round / 2, atomic.bytes, atomic.bytes);
      if (offset_ % 8) offset_ = 8, test_.aim(offsets_, offset_);
      // Memory and data of interest; what is compared is often what is there.
      for (u32 lane = 0; lane < kLanes; ++lane) {
        const u64 there = interesting(random_, atomic.bytes),
                  data = interesting(random_, atomic.bytes);
        const u64 second = random_() % 2 ? there : interesting(random_, atomic.bytes);
        std::memcpy(test_.seen_by(int(lane)) + offsets_[lane], &there, atomic.bytes);
        for (u32 word = 0; word < atomic.bytes / 4; ++word) {
          test_.wave.vgpr[8 + word][lane] = u32(data >> 32 * word);
          test_.wave.vgpr[8 + (lds() ? 4 : atomic.bytes / 4) + word][lane] =
              u32(second >> 32 * word);
        }
      }
      const auto before = test_.wave.vgpr;
      std::vector<u8> memory(test_.seen_by(0), test_.seen_by(0) + AccessWave::kBytes);
      std::array<u64, kLanes> old{}, after{};
      const auto word_pair = [&](std::size_t v, u32 lane) {
        return atomic.bytes == 4 ? u64(before[v][lane])
                                 : before[v][lane] | u64(before[v + 1][lane]) << 32;
      };
      for (u32 lane = 0; lane < kLanes; ++lane) {
        if (!on(lane)) continue;
        u8* const at =
            own ? test_.seen_by(int(lane)) + offsets_[lane] : memory.data() + offsets_[lane];
        std::memcpy(&old[lane], at, atomic.bytes);
        after[lane] = atomic.made(old[lane], word_pair(8, lane),
                                  word_pair(8 + (lds() ? 4 : atomic.bytes / 4), lane));
        // What follows from a NaN is not compared further: its bits may differ.
        if (!own) std::memcpy(at, &after[lane], atomic.bytes);
      }
      std::string operation = fmt::format("atomic_{}", atomic.name),
                  data = registers(8, atomic.bytes);
      if (lds()) {
        operation = fmt::format("{}{}_{}", atomic.lds, returns ? "_rtn" : "", atomic.type);
        if (atomic.operands == 2) data += ", " + registers(12, atomic.bytes);
      } else if (atomic.operands == 2) {
        data = registers(8, atomic.bytes * 2);
      }
      const std::string line =
          test_.line(operation, returns ? registers(14, atomic.bytes) : "", data, offset_);
      test_.run(line);
      for (u32 lane = 0; lane < kLanes; ++lane) {
        u64 got = 0, result = test_.wave.vgpr[14][lane];
        if (atomic.bytes == 8) result |= u64(test_.wave.vgpr[15][lane]) << 32;
        std::memcpy(&got, test_.seen_by(int(lane)) + offsets_[lane], atomic.bytes);
        u64 expected = after[lane];
        if (!own) std::memcpy(&expected, memory.data() + offsets_[lane], atomic.bytes);
        ASSERT_TRUE((own && !on(lane)) || same_value(atomic, got, expected))
            << line << fmt::format(" lane {}: {:x} not {:x}", lane, got, expected);
        const u64 kept =
            atomic.bytes == 8 ? before[14][lane] | u64(before[15][lane]) << 32 : before[14][lane];
        const u64 wanted = on(lane) && returns ? old[lane] : kept;
        ASSERT_TRUE(same_value(atomic, result, wanted))
            << line << fmt::format(" lane {}: returned {:x} not {:x}", lane, result, wanted);
      }
    }
}

std::string name_of_space(const ::testing::TestParamInfo<Spaced>& info) {
  constexpr const char* kNames[] = {"ScalarBase",  "Off",     "Flat", "FlatLds",
                                    "FlatScratch", "Scratch", "Lds"};
  return kNames[int(info.param.space)];
}
INSTANTIATE_TEST_SUITE_P(Spaces, AccessTest, ::testing::ValuesIn(kSpaces), name_of_space);

}  // namespace
}  // namespace isotope::sim
