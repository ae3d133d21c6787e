// Exact selection by one block: the k likeliest tokens, or the smallest set of the likeliest that has a mass, as one cut
// (a key and a last id among its equals) or as a sorted list. Nothing of the size of the vocabulary is sorted.
#pragma once

#include "ops/sample/sample_block.cuh"

namespace isotope::gpu {

constexpr int kListItems = 1024;  // longest list that is sorted
constexpr int kBins = 2048;       // of a histogram
constexpr int kCountIds = 8192;   // tokens that penalties are counted for at a time
constexpr int kArenaBytes = kCountIds * 4;

/// Shared memory of sample_choose. The arena is used for one thing after another.
struct Shared {
  u8* arena;
  u32* slice_keys;  ///< [kSampleMaxSlices]: key of the largest logit of each slice
  u64* words;       ///< [kWarps] of reductions
  u64* found;       ///< [4]: what one thread tells all
};

ISOTOPE_DEVICE u64* items(const Shared& s) { return reinterpret_cast<u64*>(s.arena); }
ISOTOPE_DEVICE u64* sorted(const Shared& s) { return reinterpret_cast<u64*>(s.arena + kListItems * 8); }
ISOTOPE_DEVICE double* sums(const Shared& s) { return reinterpret_cast<double*>(s.arena + kListItems * 16); }
ISOTOPE_DEVICE u32* bins_low(const Shared& s) { return reinterpret_cast<u32*>(s.arena + kListItems * 8); }
ISOTOPE_DEVICE u32* bins_high(const Shared& s) { return bins_low(s) + kBins; }
static_assert(kListItems * 8 + kBins * 8 <= kArenaBytes && kListItems * 24 <= kArenaBytes);

// ---- what is selected by

/// Every token weighs 1, and `count` are wanted. Or (mass) a token weighs its probability relative to the likeliest in fixed
/// point, of which a share top_p is wanted: integers add up to the same sum in any order.
struct Wish {
  bool mass;
  int count;
  u32 floor;  ///< no token below can be in the set, but its mass counts
  float best, inverse;
  int bits;
  double top_p;
};

ISOTOPE_DEVICE u64 mass_of(const Wish& wish, u32 key) {
  const float scaled = (value_of(key) - wish.best) * wish.inverse;
  if (!(scaled > -80.0f)) return 0;
  // In two parts, so that the rounding of a large product does not enter.
  const float whole = scaled * 1.4426950408889634f;
  const float rest = fma(scaled, 1.4426950408889634f, -whole) + scaled * 1.9259629911266175e-8f;
  const u32 weight = bits_of(exp2(whole) * (1.0f + rest * 0.6931471805599453f));
  const int shift = int(weight >> 23) - 127 - 23 + wish.bits;
  const u64 mantissa = (weight & 0x7fffffu) | 0x800000u;
  return shift >= 0 ? mantissa << shift : shift > -24 ? mantissa >> -shift : 0;
}
ISOTOPE_DEVICE u64 target_of(const Wish& wish, u64 total) {
  if (!wish.mass) return u64(wish.count);
  const double target = wish.top_p * double(total);
  const u64 below = u64(target);
  return below + (double(below) < target);
}

// ---- radix selection

/// A 64-bit sum in two words, each of which the hardware adds at once.
ISOTOPE_DEVICE void add_to_bin(const Shared& s, u32 bin, u64 weight) {
  const u32 low = u32(weight), before = atomic_add(bins_low(s) + bin, low);
  const u32 high = u32(weight >> 32) + (before + low < before);
  if (high) atomic_add(bins_high(s) + bin, high);
}

/// The histogram of the digit below `shift + kDigit` of keys that begin with `prefix`; returns what tokens below the floor weigh
/// (first digit only), as this thread saw them.
ISOTOPE_DEVICE u64 fill_bins(const RowView& row, const Shared& s, Cut within, const Wish& wish, u32 prefix, int above,
                             int shift) {
  for (int bin = thread_index(); bin < kBins; bin += kChooseThreads) bins_low(s)[bin] = bins_high(s)[bin] = 0;
  block_barrier();
  const bool first = above == 32;
  const u32 digit = (1u << (above - shift)) - 1;
  u64 rest = 0;
  for (int slice = warp_index(); slice < slices_of(row.size); slice += kWarps) {
    if (s.slice_keys[slice] < within.key || (!first && s.slice_keys[slice] >> above < prefix)) continue;
    visit_slice(row, slice, [&](u32 key, int id) {
      if (!keeps(within, key, id) || (!first && key >> above != prefix)) return;
      const u32 bin = key >> shift & digit;
      if (!wish.mass)
        atomic_add(bins_low(s) + bin, 1);
      else if (first && key < wish.floor)
        rest += mass_of(wish, key);
      else
        add_to_bin(s, bin, mass_of(wish, key));
    });
  }
  block_barrier();
  return rest;
}

/// found: the bin in which the sum from the largest on reaches the target, the sum before, the bin's own weight. Each thread
/// looks at the same number of neighbouring bins.
ISOTOPE_DEVICE u64 own_bins(const Shared& s, int num_bins, u64 (&own)[kBins / kChooseThreads]) {
  u64 sum = 0;
  const int each = num_bins / kChooseThreads;
#pragma unroll
  for (int i = 0; i < kBins / kChooseThreads; ++i) {
    const int bin = num_bins - 1 - (thread_index() * each + i);
    own[i] = i < each ? u64(bins_high(s)[bin]) << 32 | bins_low(s)[bin] : 0;
    sum += own[i];
  }
  return sum;
}
ISOTOPE_DEVICE void find_bin(const Shared& s, int num_bins, const u64 (&own)[kBins / kChooseThreads], u64 before, u64 target) {
  const int each = num_bins / kChooseThreads;
#pragma unroll
  for (int i = 0; i < kBins / kChooseThreads; ++i) {
    if (before < target && target <= before + own[i]) {
      s.found[0] = u64(num_bins - 1 - (thread_index() * each + i));
      s.found[1] = before;
      s.found[2] = own[i];
    }
    before += own[i];
  }
}

ISOTOPE_DEVICE int find_equal(const RowView& row, const Shared& s, u32 key, u64 nth);

/// The smallest set of the likeliest tokens within a cut that has the wanted weight (all, if they have less).
ISOTOPE_DEVICE Cut select(const RowView& row, const Shared& s, Cut within, const Wish& wish) {
  u32 prefix = 0;
  u64 before = 0, target = 0, at = 0;
  int above = 32;
#pragma unroll 1
  for (int round = 0; round < 3; ++round) {
    const int shift = round == 0 ? 21 : round == 1 ? 10 : 0, num_bins = 1 << (above - shift);
    const u64 rest = fill_bins(row, s, within, wish, prefix, above, shift);
    u64 own[kBins / kChooseThreads], in_bins;
    const u64 start = block_scan(own_bins(s, num_bins, own), s.words, &in_bins);
    if (round == 0) {
      target = target_of(wish, in_bins + block_reduce<Sum>(rest, s.words));
      target = target > in_bins ? in_bins : target > 0 ? target : 1;
    }
    find_bin(s, num_bins, own, start, target - before);
    block_barrier();
    prefix = prefix << (above - shift) | u32(s.found[0]);
    before += s.found[1];
    at = s.found[2];
    above = shift;
  }
  const u64 each = wish.mass ? mass_of(wish, prefix) : 1, equals = at / each, wanted = (target - before + each - 1) / each;
  const int all = prefix == within.key ? within.last : kKeepAll.last;
  return {prefix, wanted < equals ? find_equal(row, s, prefix, wanted) : all};
}

/// The id of the nth token (from 1) with this key; there are so many.
ISOTOPE_DEVICE int find_equal(const RowView& row, const Shared& s, u32 key, u64 nth) {
  u32* counts = bins_low(s);
  block_barrier();
  for (int slice = warp_index(); slice < kSampleMaxSlices; slice += kWarps) {
    u64 mine = 0;
    if (slice < slices_of(row.size) && s.slice_keys[slice] >= key) {
      visit_slice(row, slice, [&](u32 other, int) { mine += other == key; });
      mine = warp_reduce<Sum>(mine);
    }
    if (lane_index() == 0) counts[slice] = u32(mine);
  }
  block_barrier();
  constexpr int kEach = kSampleMaxSlices / kChooseThreads;
  u64 mine = 0, total;
  for (int i = 0; i < kEach; ++i) mine += counts[thread_index() * kEach + i];
  u64 before = block_scan(mine, s.words, &total);
  for (int i = 0; i < kEach; ++i) {
    const int slice = thread_index() * kEach + i;
    if (before < nth && nth <= before + counts[slice]) {
      s.found[0] = u64(slice);
      s.found[1] = nth - before;
    }
    before += counts[slice];
  }
  block_barrier();
  if (warp_index() == 0) {
    const int slice = int(s.found[0]);
    u64 left = s.found[1];
#pragma unroll 1
    for (int step = 0; step < kSteps; ++step) {
      const Vec16 four = load_few(row, first_token(slice, step));
      u64 own = 0;
      for (int j = 0; j < 4; ++j) own += key_of(four.w[j]) == key;
      const u64 inclusive = warp_scan<Sum>(own);
      u64 run = inclusive - own;
      for (int j = 0; j < 4; ++j) {
        if (key_of(four.w[j]) != key) continue;
        if (++run == left) s.found[2] = u64(first_token(slice, step) + j);
      }
      const u64 all = shuffle64(inclusive, kWarp - 1);
      left = left > all ? left - all : 0;
    }
  }
  block_barrier();
  return int(s.found[2]);
}

// ---- sorted lists

ISOTOPE_DEVICE u32 max_key(u32 a, u32 b) { return a > b ? a : b; }

/// Puts the tokens of a cut into items(), in any order; returns how many there are, perhaps more than have room.
ISOTOPE_DEVICE int collect(const RowView& row, const Shared& s, Cut cut) {
  u32* count = reinterpret_cast<u32*>(s.found + 3);
  block_barrier();
  if (thread_index() == 0) *count = 0;
  block_barrier();
  for (int slice = warp_index(); slice < slices_of(row.size); slice += kWarps) {
    if (s.slice_keys[slice] < cut.key) continue;
    u64 own = 0;
    visit_slice(row, slice, [&](u32 key, int id) { own += keeps(cut, key, id); });
    const u64 inclusive = warp_scan<Sum>(own);
    const u32 all = u32(shuffle64(inclusive, kWarp - 1));
    u32 place = 0;
    if (lane_index() == 0 && all > 0) place = atomic_add(count, all);
    place = shuffle(place, 0) + u32(inclusive - own);
    if (own > 0)
      visit_slice(row, slice, [&](u32 key, int id) {
        if (!keeps(cut, key, id)) return;
        if (place < kListItems) items(s)[place] = item_of(key, id);
        ++place;
      });
  }
  block_barrier();
  return int(*count);
}

/// The `wanted`-th largest of the keys of slices: at least so many tokens are as large.
ISOTOPE_DEVICE u32 slice_bound(const Shared& s, int slices, int wanted) {
  block_barrier();
  for (int slice = thread_index(); slice < slices; slice += kChooseThreads) {
    const u32 key = s.slice_keys[slice];
    int larger = 0;
    for (int other = 0; other < slices; ++other)
      larger += s.slice_keys[other] > key || (s.slice_keys[other] == key && other < slice);
    if (larger == wanted - 1) s.found[0] = key;
  }
  block_barrier();
  return u32(s.found[0]);
}

/// items() in order, the likeliest first.
ISOTOPE_DEVICE void sort_items(const Shared& s, int count) {
  for (int i = thread_index(); i < count; i += kChooseThreads) {
    const u64 item = items(s)[i];
    int place = 0;
    for (int other = 0; other < count; ++other) place += items(s)[other] > item;
    sorted(s)[place] = item;
  }
  block_barrier();
}

/// What is kept of the tokens within a cut: as the cut that is returned, or, if so many are few, in sorted(); then listed is how
/// many there are.
struct Selected {
  Cut cut;
  int listed;  ///< -1: no list
};
ISOTOPE_DEVICE Selected select_tokens(const RowView& row, const Shared& s, Cut within, const Wish& wish) {
  const int slices = slices_of(row.size);
  const bool list = !wish.mass && wish.count <= kListItems;
  bool exact = !list || wish.count > slices;
  Cut cut = within;
  if (!exact) cut.key = max_key(slice_bound(s, slices, wish.count), within.key);
  // A bound that lets too many equals through gives way to exact selection.
#pragma unroll 1
  for (;;) {
    if (exact) cut = select(row, s, within, wish);
    if (!list) return {cut, -1};
    const int count = collect(row, s, cut);
    if (count > kListItems) {
      exact = true;
      continue;
    }
    sort_items(s, count);
    return {cut, min(count, wish.count)};
  }
}

}  // namespace isotope::gpu
