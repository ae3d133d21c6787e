// The header of a safetensors file, read from memory. Nothing in it is trusted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/tensor.h"

namespace isotope::weights {

/// Longer headers are refused, as the reference implementation does.
inline constexpr std::uint64_t kMaxSafetensorsHeader = 100'000'000;

/// One entry of the header, as written.
struct SafetensorsEntry {
  std::string name;
  std::string dtype;  ///< "BF16"
  std::vector<std::int64_t> shape;
  std::int64_t begin = 0, end = 0;  ///< bytes, relative to the end of the header
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry>
      entries;  ///< in the order of the data; together they cover all of it
  std::map<std::string, std::string> metadata;
  std::int64_t data_offset = 0;  ///< where the data begins in the file
};

/// Parses and checks the header of the file whose whole content is `file`; `name` is used in errors
/// (corrupt_data). Checked: length, JSON syntax, the fields of every entry, known dtypes, shape ×
/// dtype = bytes without overflow, ranges inside the file, no overlap, no gap, no name twice.
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file, std::string_view name);

/// What the entry is in our terms. `problem` is empty, or says why this program cannot represent
/// the tensor (a dtype such as F64, more than four dimensions, misaligned data): then `view` is
/// empty.
struct SafetensorsView {
  TensorView view;
  std::string problem;
};
SafetensorsView view_of(const SafetensorsEntry& entry, std::span<const std::byte> data);

/// "BF16" for DType::bf16.
std::string_view safetensors_name(DType dtype);

}  // namespace isotope::weights
