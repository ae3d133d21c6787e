// Which of a kernel's variants suits which shape, as measured: a text table an arch (ARCH.toml in
// this folder, embedded), over which the user's own ($XDG_CONFIG_HOME/isotope/tuning/ARCH.toml)
// goes. Defaults stand in the code that asks.
//
//   [[linear_decode]]        # the kernel
//   weight = "f8_e4m3"       # matchers, all optional: a type's name, or a list of them
//   n = 4096                 # a number, or [first, last]; also k and rows
//   k = [1, 8192]
//   blocks = 3               # values
//
// A later row goes over an earlier one, value by value. `isotope tune` writes such tables.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/dtype.h"

namespace isotope::ops {

/// What a row of the table is matched with. Attention: the KV cache's type, n KV heads of k
/// elements. rows: the bucket that a number of rows belongs to (decode_bucket(), prefill_bucket());
/// 0 where a value is asked for once for all of them.
struct TuningShape {
  DType weight = DType::bf16;
  std::int64_t n = 0, k = 0, rows = 0;
  bool operator==(const TuningShape&) const = default;
};

/// Rows in decode phase that share a row of the table with `rows`: up to the next power of two.
std::int64_t decode_bucket(std::int64_t rows);
/// Rows in prefill phase: up to 64, then to the next multiple of 128.
std::int64_t prefill_bucket(std::int64_t rows);

using TuningValues = std::vector<std::pair<std::string, std::int64_t>>;

/// Ways to run a kernel at a shape, the best of which a table may name.
struct TuningSpace {
  std::string op;
  TuningShape shape;
  TuningValues current;  ///< what table and defaults say now
  std::vector<TuningValues> candidates;
};

/// A value that tables may set, with the range that kernels and devices bear.
struct TuningKey {
  std::string_view op, key;
  std::int64_t min, max;
  bool power_of_two = false;
  /// It decides an output row's bits, so it is one for all numbers of rows: a row of the table that
  /// sets it has no matcher `rows`.
  bool decides_bits = false;
};
/// All of them (known_keys.cc): a table with any other is refused.
std::vector<TuningKey> known_tuning_keys();

class Tuning {
 public:
  /// Nothing but defaults.
  explicit Tuning(std::vector<TuningKey> known = known_tuning_keys()) : known_(std::move(known)) {}

  /// The embedded table of `arch`, or of the nearest older one of its kind, and the user's over it.
  /// Errors as add().
  static Tuning for_arch(std::string_view arch);

  /// Rows over those that are there. Errors: invalid_argument with file and line for text that is
  /// no TOML, an unknown kernel or key, or a value out of range.
  void add(std::string_view text, const std::string& file);

  /// Errors: internal for an (op, key) that known_tuning_keys() lacks.
  std::int64_t value(std::string_view op, const TuningShape& shape, std::string_view key,
                     std::int64_t fallback) const;

  /// From now on `values` go over all rows, for this kernel and shape alone.
  void begin_trial(std::string_view op, const TuningShape& shape, TuningValues values);
  void end_trial() { trial_.reset(); }

 private:
  struct Range {
    std::int64_t first = 0, last = std::numeric_limits<std::int64_t>::max();
    bool holds(std::int64_t value) const { return first <= value && value <= last; }
  };
  struct Row {
    std::vector<DType> weights;  // empty: any
    Range n, k, rows;
    TuningValues values;
    bool holds(const TuningShape& shape) const;
  };
  struct Trial {
    std::string op;
    TuningShape shape;
    TuningValues values;
  };
  struct Parser;
  const TuningKey* find_key(std::string_view op, std::string_view key) const;
  bool on_trial(std::string_view op, const TuningShape& shape) const;

  std::vector<TuningKey> known_;
  std::map<std::string, std::vector<Row>, std::less<>> rows_;  // by kernel
  std::optional<Trial> trial_;
};

/// $XDG_CONFIG_HOME/isotope/tuning, or ~/.config/isotope/tuning; empty without a home.
std::filesystem::path tuning_folder();
/// Of a table: "sm_90.toml" for sm_90 and sm_90a.
std::string tuning_file_name(std::string_view arch);

}  // namespace isotope::ops
