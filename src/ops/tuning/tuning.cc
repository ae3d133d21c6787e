#include "ops/tuning/tuning.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdlib>
#include <system_error>

#include <toml++/toml.h>

#include "base/checked.h"
#include "base/embedded.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"

namespace isotope {

extern const EmbeddedFiles tuning_files;  // made by cmake/embed.cmake

namespace ops {
namespace {

std::optional<DType> dtype_named(std::string_view name) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16, DType::f8_e4m3})
    if (name_of(dtype) == name) return dtype;
  return std::nullopt;
}

/// 90 of "sm_90a" or "sm_90", 0 for other kinds of arch.
int sm_number(std::string_view arch) {
  int number = 0;
  if (arch.starts_with("sm_")) std::from_chars(arch.data() + 3, arch.data() + arch.size(), number);
  return number;
}

/// "sm_90a" and "sm_90" share a table.
std::string table_name(std::string_view arch) {
  const int number = sm_number(arch);
  return number > 0 ? "sm_" + std::to_string(number) : std::string(arch);
}

/// The embedded table for `arch`: its own, or of NVIDIA the newest that is not newer.
const EmbeddedFile* embedded_table(std::string_view arch) {
  const EmbeddedFile* best = nullptr;
  const int wanted = sm_number(arch);
  for (const EmbeddedFile& file : tuning_files) {
    const std::string stem = std::filesystem::path(file.name).stem().string();
    if (stem == table_name(arch)) return &file;
    const int number = sm_number(stem);
    if (number > 0 && number <= wanted &&
        (!best || number > sm_number(std::filesystem::path(best->name).stem().string())))
      best = &file;
  }
  return best;
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

}  // namespace

/// One file; every error names it and the line.
struct Tuning::Parser {
  Tuning& tuning;
  const std::string& file;

  template <typename... Args>
  [[noreturn]] void refuse(const toml::source_region& where, fmt::format_string<Args...> format,
                           Args&&... args) const {
    fail(ErrorCode::invalid_argument, "{}:{}: {}", file, where.begin.line,
         fmt::format(format, std::forward<Args>(args)...));
  }

  std::int64_t integer(const toml::node& node, std::string_view name, std::int64_t min,
                       std::int64_t max) const {
    const auto* value = node.as_integer();
    if (!value) refuse(node.source(), "{} must be an integer", name);
    if (value->get() < min || value->get() > max)
      refuse(node.source(), "{} = {} is not within {} to {}", name, value->get(), min, max);
    return value->get();
  }

  Range range(const toml::node& node, std::string_view name) const {
    constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
    if (!node.is_array()) {
      const std::int64_t only = integer(node, name, 0, kMost);
      return {only, only};
    }
    const toml::array& bounds = *node.as_array();
    if (bounds.size() != 2) refuse(node.source(), "{} must be a number or [first, last]", name);
    const Range range{integer(bounds[0], name, 0, kMost), integer(bounds[1], name, 0, kMost)};
    if (range.first > range.last)
      refuse(node.source(), "{} = [{}, {}] holds nothing", name, range.first, range.last);
    return range;
  }

  DType dtype(const toml::node& node) const {
    const auto* name = node.as_string();
    const auto dtype = name ? dtype_named(name->get()) : std::nullopt;
    if (!dtype)
      refuse(node.source(), "weight must be f32, f16, bf16 or f8_e4m3, or a list of them");
    return *dtype;
  }

  std::vector<DType> dtypes(const toml::node& node) const {
    if (!node.is_array()) return {dtype(node)};
    std::vector<DType> all;
    for (const toml::node& one : *node.as_array()) all.push_back(dtype(one));
    if (all.empty()) refuse(node.source(), "weight = [] holds nothing");
    return all;
  }

  std::int64_t value(const toml::node& node, const TuningKey& key) const {
    const std::int64_t value = integer(node, key.key, key.min, key.max);
    if (key.power_of_two && !std::has_single_bit(std::uint64_t(value)))
      refuse(node.source(), "{} = {} is no power of two", key.key, value);
    return value;
  }

  Row row(std::string_view op, const toml::table& table) const {
    Row row;
    for (const auto& [key, node] : table) {
      const std::string_view name = key.str();
      if (name == "weight")
        row.weights = dtypes(node);
      else if (name == "n" || name == "k" || name == "rows")
        (name == "n" ? row.n : name == "k" ? row.k : row.rows) = range(node, name);
      else if (const TuningKey* known = tuning.find_key(op, name))
        row.values.emplace_back(name, value(node, *known));
      else
        refuse(key.source(), "{} has no value {}", op, name);
    }
    if (row.values.empty()) refuse(table.source(), "this row of {} sets nothing", op);
    for (const auto& [name, unused] : row.values)
      if (tuning.find_key(op, name)->decides_bits && table.contains("rows"))
        refuse(table.source(),
               "{} decides the bits of a row, so it cannot depend on how many rows there are: "
               "leave out the matcher rows",
               name);
    return row;
  }

  void parse(const toml::table& table) const {
    for (const auto& [key, node] : table) {
      const std::string_view op = key.str();
      if (std::none_of(tuning.known_.begin(), tuning.known_.end(),
                       [op](const TuningKey& known) { return known.op == op; }))
        refuse(key.source(), "{} is no kernel with tuned values", op);
      const toml::array* rows = node.as_array();
      if (!rows || !rows->is_homogeneous(toml::node_type::table))
        refuse(node.source(), "rows of {0} are written as [[{0}]]", op);
      for (const toml::node& one : *rows)
        tuning.rows_[std::string(op)].push_back(row(op, *one.as_table()));
    }
  }
};

void Tuning::add(std::string_view text, const std::string& file) {
  try {
    Parser{*this, file}.parse(toml::parse(text));
  } catch (const toml::parse_error& error) {
    fail(ErrorCode::invalid_argument, "{}:{}: {}", file, error.source().begin.line,
         error.description());
  }
}

const TuningKey* Tuning::find_key(std::string_view op, std::string_view key) const {
  for (const TuningKey& known : known_)
    if (known.op == op && known.key == key) return &known;
  return nullptr;
}

bool Tuning::Row::holds(const TuningShape& shape) const {
  return n.holds(shape.n) && k.holds(shape.k) && rows.holds(shape.rows) &&
         (weights.empty() ||
          std::find(weights.begin(), weights.end(), shape.weight) != weights.end());
}

bool Tuning::on_trial(std::string_view op, const TuningShape& shape) const {
  if (!trial_ || trial_->op != op) return false;
  TuningShape tried = trial_->shape;
  if (shape.rows == 0) tried.rows = 0;  // asked for once for all numbers of rows
  return shape == tried;
}

std::int64_t Tuning::value(std::string_view op, const TuningShape& shape, std::string_view key,
                           std::int64_t fallback) const {
  if (!find_key(op, key))
    fail(ErrorCode::internal, "{}.{} is missing in known_tuning_keys()", op, key);
  const auto value_in = [key](const TuningValues& values) {
    return std::find_if(values.begin(), values.end(),
                        [key](const auto& value) { return value.first == key; });
  };
  if (on_trial(op, shape))
    if (const auto found = value_in(trial_->values); found != trial_->values.end())
      return found->second;
  const auto rows = rows_.find(op);
  if (rows == rows_.end()) return fallback;
  for (auto row = rows->second.rbegin(); row != rows->second.rend(); ++row)
    if (row->holds(shape))
      if (const auto found = value_in(row->values); found != row->values.end())
        return found->second;
  return fallback;
}

void Tuning::begin_trial(std::string_view op, const TuningShape& shape, TuningValues values) {
  trial_ = Trial{std::string(op), shape, std::move(values)};
}

std::int64_t decode_bucket(std::int64_t rows) {
  return std::int64_t(std::bit_ceil(std::uint64_t(std::max<std::int64_t>(1, rows))));
}

std::int64_t prefill_bucket(std::int64_t rows) {
  return rows <= 64 ? 64 : round_up<std::int64_t>(rows, 128);
}

Tuning Tuning::for_arch(std::string_view arch) {
  Tuning tuning;
  if (const EmbeddedFile* file = embedded_table(arch))
    tuning.add(file->text, std::string(file->name));
  const std::filesystem::path folder = tuning_folder();
  const std::filesystem::path own = folder / tuning_file_name(arch);
  std::error_code ignored;
  if (folder.empty() || !std::filesystem::exists(own, ignored)) return tuning;
  log_info("ops", "tuning table {}", own.string());
  tuning.add(read_file(own, std::size_t(1) << 20), own.string());
  return tuning;
}

std::string tuning_file_name(std::string_view arch) { return table_name(arch) + ".toml"; }

std::filesystem::path tuning_folder() {
  const std::filesystem::path xdg = variable("XDG_CONFIG_HOME");
  if (xdg.is_absolute()) return xdg / "isotope" / "tuning";
  const std::filesystem::path home = variable("HOME");
  return home.is_absolute() ? home / ".config" / "isotope" / "tuning" : std::filesystem::path();
}

}  // namespace ops
}  // namespace isotope
