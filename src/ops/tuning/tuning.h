// Which of a kernel's variants suits which shape, as measured: a text table an arch (ARCH.toml in
// this folder, embedded), over which the user's own ($XDG_CONFIG_HOME/isotope/tuning/ARCH.toml)
// goes. Defaults stand in the code that asks.
//
//   [[linear_decode]]        # the operation
//   weight = "f8_e4m3"       # matchers, all optional: a type's name, or a list of them
//   n = 4096                 # a number, or [first, last]; also k and rows
//   k = [1, 8192]
//   warps = 8                # values
//
// A later row goes over an earlier one, value by value.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/dtype.h"

namespace isotope::ops {

/// What a row of the table is matched with; an operation without weights leaves out what it has
/// not.
struct TuningShape {
  DType weight = DType::bf16;
  std::int64_t n = 0, k = 0, rows = 0;
};

/// A value that tables may set, with the range that kernels and devices bear.
struct TuningKey {
  std::string_view op, key;
  std::int64_t min, max;
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
  /// no TOML, an unknown operation or key, or a value out of range.
  void add(std::string_view text, const std::string& file);

  /// Errors: internal for an (op, key) that known_tuning_keys() lacks.
  std::int64_t value(std::string_view op, const TuningShape& shape, std::string_view key,
                     std::int64_t fallback) const;

 private:
  struct Range {
    std::int64_t first = 0, last = std::numeric_limits<std::int64_t>::max();
    bool holds(std::int64_t value) const { return first <= value && value <= last; }
  };
  struct Row {
    std::string op;
    std::vector<DType> weights;  // empty: any
    Range n, k, rows;
    std::vector<std::pair<std::string, std::int64_t>> values;
  };
  struct Parser;
  const TuningKey* find_key(std::string_view op, std::string_view key) const;

  std::vector<TuningKey> known_;
  std::vector<Row> rows_;
};

/// $XDG_CONFIG_HOME/isotope/tuning, or ~/.config/isotope/tuning; empty without a home.
std::filesystem::path tuning_folder();

}  // namespace isotope::ops
