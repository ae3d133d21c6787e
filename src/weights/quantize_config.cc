#include "weights/quantize_config.h"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <fstream>

#include "base/error.h"

namespace isotope::weights {
namespace {

/// Indented by two spaces, as people know these files; Boost.JSON itself writes one line.
void pretty_print(const json::value& value, std::string& out, std::size_t depth) {
  const auto new_line = [&](std::size_t level) { out.append("\n").append(2 * level, ' '); };
  const auto members = [&](const auto& container, char open, char close, auto&& print) {
    out += open;
    bool first = true;
    for (const auto& member : container) {
      if (!std::exchange(first, false)) out += ',';
      new_line(depth + 1);
      print(member);
    }
    if (!first) new_line(depth);
    out += close;
  };
  if (const json::object* object = value.if_object()) {
    members(*object, '{', '}', [&](const auto& member) {
      out += json::serialize(json::string(member.key())) + ": ";
      pretty_print(member.value(), out, depth + 1);
    });
  } else if (const json::array* array = value.if_array()) {
    members(*array, '[', ']', [&](const json::value& item) { pretty_print(item, out, depth + 1); });
  } else {
    out += json::serialize(value);
  }
}

/// Modules that stay as they are, by the run-time names that other programs use.
json::array unconverted_modules(const ModelConfig& source, const QuantizeOptions& options) {
  json::array modules;
  if (source.has_vision) modules = {"model.vision_tower", "model.multi_modal_projector"};
  if (!options.quantize_lm_head) modules.emplace_back("lm_head");
  return modules;
}

json::object fp8_config(const ModelConfig& source, const QuantizeOptions& options) {
  json::object config{{"activation_scheme", "dynamic"}, {"fmt", "e4m3"}};
  // Dense block-quantized releases list nothing: programs know that the head stays.
  if (source.has_vision || options.layout != ScaleLayout::block_128x128)
    config["modules_to_not_convert"] = unconverted_modules(source, options);
  config["quant_method"] = "fp8";
  config["weight_block_size"] = nullptr;
  if (options.layout == ScaleLayout::block_128x128)
    config["weight_block_size"] = json::array{128, 128};
  return config;
}

json::object compressed_tensors_config(const ModelConfig& source, const QuantizeOptions& options) {
  const json::object float8{{"num_bits", 8}, {"type", "float"}, {"symmetric", true}};
  json::object weights = float8, activations = float8;
  weights["strategy"] = "channel";
  weights["dynamic"] = false;
  activations["strategy"] = "token";
  activations["dynamic"] = true;
  return {
      {"quant_method", "compressed-tensors"},
      {"format", "float-quantized"},
      {"quantization_status", "compressed"},
      {"ignore", unconverted_modules(source, options)},
      {"config_groups", json::object{{"group_0", json::object{{"targets", json::array{"Linear"}},
                                                              {"weights", weights},
                                                              {"input_activations", activations},
                                                              {"output_activations", nullptr}}}}}};
}

}  // namespace

void write_quantized_config(const ModelConfig& source, const QuantizeOptions& options,
                            const std::filesystem::path& path) {
  json::value document = parse_json_file(source.path);
  json::object quantization = options.layout == ScaleLayout::per_row
                                  ? compressed_tensors_config(source, options)
                                  : fp8_config(source, options);
  if (options.quantize_lm_head) quantization["lm_head"] = true;
  document.as_object()["quantization_config"] = std::move(quantization);
  std::string text;
  pretty_print(document, text, 0);
  std::ofstream file(path, std::ios::binary);
  file << text << '\n';
  file.close();
  if (!file) fail(ErrorCode::invalid_argument, "cannot write {}", path.string());
}

}  // namespace isotope::weights
