#include "weights/quantization.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <cmath>

#include "base/checked.h"
#include "base/error.h"

namespace isotope::weights {
namespace {

constexpr std::int64_t kBlock = 128;

[[noreturn]] void unsupported(const JsonFields& config, std::string_view field,
                              const json::value& value, std::string_view supported) {
  fail(ErrorCode::unsupported, "{}: '{}' is {}; this program reads {}", config.name(), field,
       brief(value), supported);
}

/// Refuses a string field that is present and none of `accepted`.
void require_one_of(const JsonFields& config, std::string_view field,
                    std::initializer_list<std::string_view> accepted) {
  const json::value* value = config.find(field);
  if (!value) return;
  const std::string text = config.string(field);
  if (std::ranges::find(accepted, text) == accepted.end())
    unsupported(config, field, *value, fmt::format("{}", fmt::join(accepted, ", ")));
}

std::vector<std::string> read_names(const JsonFields& config,
                                    std::initializer_list<std::string_view> fields) {
  std::vector<std::string> names;
  for (const std::string_view field : fields) {
    const json::value* value = config.find(field);
    if (!value) continue;
    if (!value->is_array()) config.wrong(field, *value, "a list of module names");
    for (const json::value& item : value->get_array()) {
      if (!item.is_string()) config.wrong(field, item, "a module name");
      std::string name(item.get_string());
      if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
    }
  }
  return names;
}

/// `field` must be [128, 128].
void require_block_128(const JsonFields& config, std::string_view field) {
  const json::value* value = config.find(field);
  if (!value) config.missing(field);
  if (*value != json::value(json::array{kBlock, kBlock}))
    unsupported(config, field, *value, "[128,128] or null");
}

QuantizationConfig read_fp8(const JsonFields& config) {
  require_one_of(config, "fmt", {"e4m3", "float8_e4m3fn"});
  require_one_of(config, "activation_scheme", {"dynamic", "static"});
  QuantizationConfig result{.fp8 = true, .weight_scales = ScaleLayout::per_tensor};
  if (config.has("weight_block_size")) {
    require_block_128(config, "weight_block_size");
    result.weight_scales = ScaleLayout::block_128x128;
  }
  result.static_activations = config.string("activation_scheme", "dynamic") == "static";
  result.not_converted = read_names(config, {"modules_to_not_convert", "ignored_layers"});
  return result;
}

ScaleLayout read_compressed_group(const JsonFields& group, QuantizationConfig& result) {
  const JsonFields weights = group.child("weights");
  if (const auto bits = weights.integer("num_bits", 1, 64); bits != 8)
    unsupported(weights, "num_bits", bits, "8");
  require_one_of(weights, "type", {"float"});
  if (group.has("input_activations")) {
    const JsonFields activations = group.child("input_activations");
    result.static_activations |= !activations.boolean("dynamic", false);
  }
  const std::string strategy = weights.string("strategy");
  if (strategy == "tensor") return ScaleLayout::per_tensor;
  if (strategy == "channel") return ScaleLayout::per_row;
  if (strategy == "block") {
    require_block_128(weights, "block_structure");
    return ScaleLayout::block_128x128;
  }
  unsupported(weights, "strategy", *weights.find("strategy"), "tensor, channel, block");
}

QuantizationConfig read_compressed_tensors(const JsonFields& config) {
  require_one_of(config, "format", {"float-quantized"});
  QuantizationConfig result{.fp8 = true};
  const JsonFields groups = config.child("config_groups");
  for (const auto& member : groups.object()) {
    const ScaleLayout layout = read_compressed_group(groups.child(member.key()), result);
    if (result.weight_scales != ScaleLayout::none && result.weight_scales != layout)
      unsupported(groups, member.key(), member.value(), "groups that share one strategy");
    result.weight_scales = layout;
  }
  if (result.weight_scales == ScaleLayout::none) config.missing("config_groups");
  result.not_converted = read_names(config, {"ignore"});
  // Its target "Linear" takes in the head unless that is ignored, by name or by pattern.
  result.lm_head = std::ranges::none_of(result.not_converted, [](const std::string& name) {
    return name.find("lm_head") != std::string::npos;
  });
  return result;
}

std::string shape_and_dtype(const TensorView& tensor) {
  return fmt::format("{} {}", name_of(tensor.dtype), tensor.shape.to_string());
}

bool is_plain_float(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16;
}

/// Names the tensor and its source in every error.
struct NamedTensor {
  std::string name;
  TensorView view;
};

/// The first of the two names that exists. Both at once would leave open which one counts.
NamedTensor find_either(const TensorSource& source, std::string_view prefix,
                        std::array<std::string_view, 2> suffixes) {
  NamedTensor found;
  for (const std::string_view suffix : suffixes) {
    std::string name = fmt::format("{}.{}", prefix, suffix);
    const TensorView view = source.find(name);
    if (view.empty()) continue;
    if (!found.view.empty())
      fail(ErrorCode::corrupt_data, "{} holds both '{}' and '{}'", source.describe(), found.name,
           name);
    found = {std::move(name), view};
  }
  return found;
}

void check_scale_values(const TensorSource& source, const NamedTensor& scale) {
  if (!is_plain_float(scale.view.dtype))
    fail(ErrorCode::corrupt_data, "{}: '{}' is {}; a scale must be f32, f16 or bf16",
         source.describe(), scale.name, shape_and_dtype(scale.view));
  const std::int64_t count = scale.view.shape.elements();
  for (std::int64_t i = 0; i < count; ++i) {
    const float value = load_float(scale.view, i);
    if (!(std::isfinite(value) && value > 0))
      fail(ErrorCode::corrupt_data,
           "{}: '{}' holds {} at element {}; a scale must be finite and positive",
           source.describe(), scale.name, value, i);
  }
}

/// Recognises the layout of a weight scale by its shape and brings the view to the shape that
/// belongs to it.
ScaleLayout recognise_scale(const TensorSource& source, const NamedTensor& scale, std::int64_t n,
                            std::int64_t k, TensorView& view) {
  const Shape& shape = scale.view.shape;
  const Shape blocks{ceil_div(n, kBlock), ceil_div(k, kBlock)};
  view = scale.view;
  // Blocks come before the other readings of [1, 1], so that all layers of a small model share one
  // layout.
  if (shape == blocks) return ScaleLayout::block_128x128;
  if (shape.elements() == 1 && shape.rank() <= 2) {
    view = TensorView(view.dtype, Shape{}, view.data);
    return ScaleLayout::per_tensor;
  }
  if (shape == Shape{n} || shape == Shape{n, 1}) {
    view = TensorView(view.dtype, Shape{n}, view.data);
    return ScaleLayout::per_row;
  }
  fail(
      ErrorCode::corrupt_data,
      "{}: '{}' has shape {}; for a weight [{}, {}] expected [] (per tensor), [{}] or [{}, 1] (per "
      "row), or {} (blocks of 128x128)",
      source.describe(), scale.name, shape.to_string(), n, k, n, n, blocks.to_string());
}

TensorView find_input_scale(const TensorSource& source, std::string_view prefix,
                            std::vector<std::string>& used) {
  const NamedTensor scale = find_either(source, prefix, {"activation_scale", "input_scale"});
  if (scale.view.empty()) return {};
  if (scale.view.shape.elements() != 1)
    fail(ErrorCode::corrupt_data, "{}: '{}' has shape {}; expected one activation scale",
         source.describe(), scale.name, scale.view.shape.to_string());
  check_scale_values(source, scale);
  used.push_back(scale.name);
  return TensorView(scale.view.dtype, Shape{}, scale.view.data);
}

}  // namespace

QuantizationConfig read_quantization(const JsonFields& config) {
  if (!config.has("quantization_config")) {
    if (config.has("text_config")) return read_quantization(config.child("text_config"));
    return {};
  }
  const JsonFields quantization = config.child("quantization_config");
  const std::string method = quantization.string("quant_method");
  QuantizationConfig result;
  if (method == "fp8")
    result = read_fp8(quantization);
  else if (method == "compressed-tensors")
    result = read_compressed_tensors(quantization);
  else
    unsupported(quantization, "quant_method", *quantization.find("quant_method"),
                "fp8, compressed-tensors");
  result.lm_head |= quantization.boolean("lm_head", false);
  return result;
}

ScaledTensor find_linear(const TensorSource& source, std::string_view prefix, std::int64_t n,
                         std::int64_t k, std::vector<std::string>& used) {
  const std::string name = fmt::format("{}.weight", prefix);
  ScaledTensor result{.weight = source.find(name)};
  if (result.weight.empty())
    fail(ErrorCode::not_found, "{} holds no tensor '{}'", source.describe(), name);
  if (result.weight.shape != Shape{n, k})
    fail(ErrorCode::corrupt_data, "{}: '{}' is {}; the configuration asks for shape [{}, {}]",
         source.describe(), name, shape_and_dtype(result.weight), n, k);
  used.push_back(name);
  const NamedTensor scale = find_either(source, prefix, {"weight_scale_inv", "weight_scale"});
  if (is_plain_float(result.weight.dtype)) {
    if (!scale.view.empty())
      fail(ErrorCode::corrupt_data, "{}: '{}' is {}, yet there is a scale '{}'", source.describe(),
           name, shape_and_dtype(result.weight), scale.name);
    return result;
  }
  if (result.weight.dtype != DType::f8_e4m3)
    fail(ErrorCode::corrupt_data, "{}: '{}' is {}; expected f32, f16, bf16 or f8_e4m3",
         source.describe(), name, shape_and_dtype(result.weight));
  if (scale.view.empty())
    fail(ErrorCode::corrupt_data,
         "{}: '{}' is f8_e4m3, but there is neither '{}.weight_scale_inv' nor '{}.weight_scale'",
         source.describe(), name, prefix, prefix);
  result.scale_layout = recognise_scale(source, scale, n, k, result.scale);
  check_scale_values(source, scale);
  used.push_back(scale.name);
  result.input_scale = find_input_scale(source, prefix, used);
  return result;
}

}  // namespace isotope::weights
