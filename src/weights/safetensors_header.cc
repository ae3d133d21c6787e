#include "weights/safetensors_header.h"

#include <algorithm>
#include <array>
#include <bit>
#include <boost/json/basic_parser_impl.hpp>
#include <cstring>
#include <limits>
#include <optional>
#include <set>

#include "base/checked.h"
#include "base/error.h"

namespace isotope::weights {
namespace {

namespace json = boost::json;

/// Every dtype of the format, ours or not: a file may hold tensors that nobody asks for.
struct FormatDType {
  std::string_view name;
  int bits;
  std::optional<DType> ours;
};
constexpr auto kFormatDTypes = std::to_array<FormatDType>({
    {"F32", 32, DType::f32},
    {"F16", 16, DType::f16},
    {"BF16", 16, DType::bf16},
    {"F8_E4M3", 8, DType::f8_e4m3},
    {"I32", 32, DType::i32},
    {"I64", 64, DType::i64},
    {"U8", 8, DType::u8},
    {"BOOL", 8, std::nullopt},
    {"I8", 8, std::nullopt},
    {"I16", 16, std::nullopt},
    {"U16", 16, std::nullopt},
    {"U32", 32, std::nullopt},
    {"U64", 64, std::nullopt},
    {"F64", 64, std::nullopt},
    {"C64", 64, std::nullopt},
    {"F8_E5M2", 8, std::nullopt},
    {"F8_E8M0", 8, std::nullopt},
    {"F8_E4M3FNUZ", 8, std::nullopt},
    {"F8_E5M2FNUZ", 8, std::nullopt},
    {"F6_E2M3", 6, std::nullopt},
    {"F6_E3M2", 6, std::nullopt},
    {"F4", 4, std::nullopt},
});

const FormatDType* find_dtype(std::string_view name) {
  const auto* found = std::ranges::find(kFormatDTypes, name, &FormatDType::name);
  return found == kFormatDTypes.end() ? nullptr : found;
}

std::string quoted(std::string_view text) {
  constexpr std::size_t kLimit = 100;
  if (text.size() <= kLimit) return fmt::format("'{}'", text);
  return fmt::format("'{}…'", text.substr(0, kLimit));
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  constexpr std::size_t kLimit = 16;
  std::string text = "[";
  for (std::size_t i = 0; i < std::min(shape.size(), kLimit); ++i)
    text += fmt::format("{}{}", i ? ", " : "", shape[i]);
  return text + (shape.size() > kLimit ? ", …]" : "]");
}

/// Receives the header's JSON event by event. A document tree would cost several times the header's
/// size and would lose repeated names, which must be an error.
class HeaderHandler {
 public:
  static constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_object_size = kUnlimited, max_array_size = kUnlimited;
  static constexpr std::size_t max_key_size = kUnlimited, max_string_size = kUnlimited;

  HeaderHandler(std::string_view file, SafetensorsHeader& header) : file_(file), header_(header) {}

  bool on_document_begin(json::error_code&) { return true; }
  bool on_document_end(json::error_code&) { return true; }

  bool on_object_begin(json::error_code&) {
    switch (place_) {
      case Place::document:
        place_ = Place::header;
        return true;
      case Place::tensor_value:
        place_ = Place::entry;
        return true;
      case Place::metadata_value:
        place_ = Place::metadata;
        return true;
      default:
        unexpected("an object");
    }
  }

  bool on_object_end(std::size_t, json::error_code&) {
    if (place_ == Place::entry) finish_entry();
    place_ = place_ == Place::header ? Place::done : Place::header;
    return true;
  }

  bool on_array_begin(json::error_code&) {
    if (place_ != Place::entry_value || (field_ != Field::shape && field_ != Field::offsets))
      unexpected("an array");
    place_ = Place::numbers;
    return true;
  }

  bool on_array_end(std::size_t, json::error_code&) {
    place_ = Place::entry;
    return true;
  }

  bool on_key_part(json::string_view part, std::size_t, json::error_code&) {
    text_.append(part);
    return true;
  }

  bool on_key(json::string_view part, std::size_t, json::error_code&) {
    text_.append(part);
    const std::string key = std::exchange(text_, {});
    if (place_ == Place::header) {
      if (!names_.insert(key).second) bad("the name {} occurs twice", quoted(key));
      entry_ = SafetensorsEntry{.name = key};
      seen_ = {};
      offsets_.clear();
      place_ = key == "__metadata__" ? Place::metadata_value : Place::tensor_value;
    } else if (place_ == Place::metadata) {
      if (header_.metadata.contains(key)) bad("'__metadata__' holds {} twice", quoted(key));
      metadata_key_ = key;
      place_ = Place::metadata_string;
    } else {
      begin_field(key);
    }
    return true;
  }

  bool on_string_part(json::string_view part, std::size_t, json::error_code&) {
    text_.append(part);
    return true;
  }

  bool on_string(json::string_view part, std::size_t, json::error_code&) {
    text_.append(part);
    std::string value = std::exchange(text_, {});
    if (place_ == Place::metadata_string) {
      header_.metadata.emplace(metadata_key_, std::move(value));
      place_ = Place::metadata;
    } else if (place_ == Place::entry_value && field_ == Field::dtype) {
      entry_.dtype = std::move(value);
      place_ = Place::entry;
    } else {
      unexpected("a string");
    }
    return true;
  }

  bool on_int64(std::int64_t value, json::string_view, json::error_code&) {
    if (place_ != Place::numbers) unexpected("a number");
    if (value < 0) bad("tensor {}: {} holds {}", quoted(entry_.name), field_name(), value);
    (field_ == Field::shape ? entry_.shape : offsets_).push_back(value);
    return true;
  }

  bool on_uint64(std::uint64_t value, json::string_view, json::error_code&) {
    if (place_ != Place::numbers) unexpected("a number");
    bad("tensor {}: {} holds {}, more than 63 bits", quoted(entry_.name), field_name(), value);
  }

  bool on_double(double value, json::string_view, json::error_code&) {
    if (place_ != Place::numbers) unexpected("a number");
    bad("tensor {}: {} holds {}; expected integers", quoted(entry_.name), field_name(), value);
  }

  bool on_number_part(json::string_view, json::error_code&) { return true; }
  bool on_bool(bool, json::error_code&) { unexpected("a boolean"); }
  bool on_null(json::error_code&) { unexpected("null"); }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }

 private:
  enum class Place {
    document,         ///< before the header's object
    header,           ///< inside it: names follow
    tensor_value,     ///< after a tensor's name
    metadata_value,   ///< after "__metadata__"
    metadata,         ///< inside the metadata: keys follow
    metadata_string,  ///< after a metadata key
    entry,            ///< inside a tensor's object: fields follow
    entry_value,      ///< after a field's name
    numbers,          ///< inside shape or data_offsets
    done,
  };
  enum class Field { dtype, shape, offsets };

  std::string_view field_name() const {
    constexpr std::array<std::string_view, 3> kNames = {"'dtype'", "'shape'", "'data_offsets'"};
    return kNames[std::size_t(field_)];
  }

  void begin_field(const std::string& key) {
    if (key == "dtype")
      field_ = Field::dtype;
    else if (key == "shape")
      field_ = Field::shape;
    else if (key == "data_offsets")
      field_ = Field::offsets;
    else
      bad("tensor {} has an unknown field {}", quoted(entry_.name), quoted(key));
    if (std::exchange(seen_[std::size_t(field_)], true))
      bad("tensor {} has {} twice", quoted(entry_.name), field_name());
    place_ = Place::entry_value;
  }

  void finish_entry() {
    for (const Field field : {Field::dtype, Field::shape, Field::offsets}) {
      field_ = field;
      if (!seen_[std::size_t(field)]) bad("tensor {} has no {}", quoted(entry_.name), field_name());
    }
    if (offsets_.size() != 2)
      bad("tensor {}: 'data_offsets' has {} numbers; expected 2", quoted(entry_.name),
          offsets_.size());
    entry_.begin = offsets_[0];
    entry_.end = offsets_[1];
    header_.entries.push_back(std::move(entry_));
  }

  [[noreturn]] void unexpected(std::string_view found) const {
    switch (place_) {
      case Place::document:
        bad("the header is not a JSON object but {}", found);
      case Place::metadata_value:
        bad("'__metadata__' is not an object but {}", found);
      case Place::metadata_string:
        bad("'__metadata__': {} is not a string but {}", quoted(metadata_key_), found);
      case Place::tensor_value:
        bad("tensor {} is not an object but {}", quoted(entry_.name), found);
      default:
        bad("tensor {}: {} holds {}", quoted(entry_.name), field_name(), found);
    }
  }

  template <typename... Args>
  [[noreturn]] void bad(fmt::format_string<Args...> format, Args&&... args) const {
    fail(ErrorCode::corrupt_data, "{}: {}", file_,
         fmt::format(format, std::forward<Args>(args)...));
  }

  std::string_view file_;
  SafetensorsHeader& header_;
  std::set<std::string, std::less<>> names_;
  Place place_ = Place::document;
  Field field_ = Field::dtype;
  std::array<bool, 3> seen_{};
  std::string text_;  ///< of a key or string that arrives in parts
  std::string metadata_key_;
  SafetensorsEntry entry_;
  std::vector<std::int64_t> offsets_;
};

/// Length of the JSON text, from the first eight bytes.
std::uint64_t header_length(std::span<const std::byte> file, std::string_view name) {
  constexpr std::size_t kPrefix = sizeof(std::uint64_t);
  if (file.size() < kPrefix)
    fail(ErrorCode::corrupt_data,
         "{} has {} bytes; a safetensors file has at least 8. Is the download complete?", name,
         file.size());
  static_assert(std::endian::native == std::endian::little);
  std::uint64_t length;
  std::memcpy(&length, file.data(), kPrefix);
  if (length > kMaxSafetensorsHeader)
    fail(ErrorCode::corrupt_data,
         "{}: the header claims {} bytes, more than {}; is it a safetensors file?", name, length,
         kMaxSafetensorsHeader);
  if (length > file.size() - kPrefix)
    fail(ErrorCode::corrupt_data,
         "{}: the header claims {} bytes, but the file has only {}. Is the download complete?",
         name, length, file.size());
  return length;
}

void parse_json_header(std::string_view text, std::string_view name, SafetensorsHeader& header) {
  if (!text.starts_with('{'))
    fail(ErrorCode::corrupt_data, "{}: the header does not begin with '{{'", name);
  json::parse_options options;
  options.max_depth = 4;  // header, entry, shape
  json::basic_parser<HeaderHandler> parser(options, name, header);
  json::error_code error;
  const std::size_t consumed = parser.write_some(false, text.data(), text.size(), error);
  if (error)
    fail(ErrorCode::corrupt_data, "{}: the header is not valid JSON at byte {}: {}", name, consumed,
         error.message());
  // Writers pad with spaces, so that the data begins aligned.
  const std::size_t rest = text.find_first_not_of(" \t\r\n", consumed);
  if (rest != std::string_view::npos)
    fail(ErrorCode::corrupt_data, "{}: the header goes on after its object, at byte {}", name,
         rest);
}

/// Bytes that the entry's shape and dtype ask for.
std::int64_t bytes_needed(const SafetensorsEntry& entry, std::string_view file) {
  const FormatDType* dtype = find_dtype(entry.dtype);
  if (!dtype)
    fail(ErrorCode::corrupt_data, "{}: tensor {} has the unknown dtype {}", file,
         quoted(entry.name), quoted(entry.dtype));
  // A zero dimension must not hide an overflow: strides are products of the other dimensions.
  std::optional<std::int64_t> bits = dtype->bits;
  bool none = false;
  for (const std::int64_t dim : entry.shape) {
    none = none || dim == 0;
    bits = try_mul(*bits, std::max<std::int64_t>(dim, 1));
    if (!bits)
      fail(ErrorCode::corrupt_data, "{}: tensor {}: the size of shape {} overflows", file,
           quoted(entry.name), shape_text(entry.shape));
  }
  if (none) return 0;
  if (*bits % 8 != 0)
    fail(ErrorCode::corrupt_data, "{}: tensor {}: {} of shape {} is no whole number of bytes", file,
         quoted(entry.name), entry.dtype, shape_text(entry.shape));
  return *bits / 8;
}

void check_ranges(SafetensorsHeader& header, std::int64_t data_size, std::string_view file) {
  for (const SafetensorsEntry& entry : header.entries) {
    if (entry.begin > entry.end || entry.end > data_size)
      fail(ErrorCode::corrupt_data,
           "{}: tensor {}: data_offsets [{}, {}] lie outside the {} bytes of data. Is the download "
           "complete?",
           file, quoted(entry.name), entry.begin, entry.end, data_size);
    const std::int64_t needed = bytes_needed(entry, file);
    if (needed != entry.end - entry.begin)
      fail(ErrorCode::corrupt_data, "{}: tensor {}: {} of shape {} needs {} bytes, has {}", file,
           quoted(entry.name), entry.dtype, shape_text(entry.shape), needed,
           entry.end - entry.begin);
  }
  // An empty tensor sorts before the one that begins at the same byte.
  std::ranges::sort(header.entries, [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  std::int64_t covered = 0;
  std::string_view before = "the header";
  for (const SafetensorsEntry& entry : header.entries) {
    if (entry.begin != covered)
      fail(ErrorCode::corrupt_data, "{}: tensor {} begins at byte {}, {} {}, which ends at byte {}",
           file, quoted(entry.name), entry.begin,
           entry.begin < covered ? "overlapping" : "leaving a gap after", before, covered);
    covered = entry.end;
    before = entry.name;
  }
  if (covered != data_size)
    fail(ErrorCode::corrupt_data, "{}: the tensors end at byte {} of {} bytes of data", file,
         covered, data_size);
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file, std::string_view name) {
  const std::uint64_t length = header_length(file, name);
  SafetensorsHeader header;
  const auto* text = reinterpret_cast<const char*>(file.data()) + sizeof length;
  parse_json_header({text, length}, name, header);
  header.data_offset = std::int64_t(sizeof length + length);
  check_ranges(header, std::int64_t(file.size()) - header.data_offset, name);
  return header;
}

SafetensorsView view_of(const SafetensorsEntry& entry, std::span<const std::byte> data) {
  const FormatDType* dtype = find_dtype(entry.dtype);
  ISOTOPE_ASSERT(dtype && std::uint64_t(entry.end) <= data.size());
  if (!dtype->ours) return {{}, fmt::format("dtype {} is not supported", entry.dtype)};
  if (entry.shape.size() > std::size_t(Shape::kMaxRank))
    return {{},
            fmt::format("shape {} has more than {} dimensions", shape_text(entry.shape),
                        Shape::kMaxRank)};
  const std::byte* address = data.data() + entry.begin;
  if (reinterpret_cast<std::uintptr_t>(address) % size_of(*dtype->ours) != 0)
    return {{},
            fmt::format("its data is not aligned to the {} bytes of {}; save the file again "
                        "with a current safetensors",
                        size_of(*dtype->ours), entry.dtype)};
  return {TensorView(*dtype->ours, Shape(entry.shape), static_cast<const void*>(address)), {}};
}

std::string_view safetensors_name(DType dtype) {
  const auto* found = std::ranges::find(kFormatDTypes, std::optional(dtype), &FormatDType::ours);
  ISOTOPE_ASSERT(found != kFormatDTypes.end());
  return found->name;
}

}  // namespace isotope::weights
