#include "weights/quantize.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"
#include "weights/checkpoint.h"
#include "weights/config.h"
#include "weights/quantize_config.h"
#include "weights/quantize_tensor.h"
#include "weights/safetensors.h"

namespace isotope::weights {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 7> kLinearLayers = {
    ".self_attn.q_proj", ".self_attn.k_proj", ".self_attn.v_proj", ".self_attn.o_proj",
    ".mlp.gate_proj",    ".mlp.up_proj",      ".mlp.down_proj"};
constexpr std::string_view kWeight = ".weight";

/// "model.layers.3.mlp.up_proj" for that name + ".weight", if it is a linear layer of a block.
std::optional<std::string_view> linear_module(std::string_view name) {
  if (!name.ends_with(kWeight) || name.find("layers.") == std::string_view::npos ||
      name.find("vision_tower.") != std::string_view::npos)
    return std::nullopt;
  name.remove_suffix(kWeight.size());
  if (std::ranges::none_of(kLinearLayers, [&](auto layer) { return name.ends_with(layer); }))
    return std::nullopt;
  return name;
}

/// One tensor of the source and what becomes of it.
struct Step {
  std::string source_name;
  std::string module;                      ///< of a quantized layer; its tensors are named after it
  ScaleLayout layout = ScaleLayout::none;  ///< none: the tensor is copied
};

std::string head_name_beside(std::string_view embedding) {
  // "language_model.model.embed_tokens.weight" -> "language_model.lm_head"
  constexpr std::string_view kEmbedding = "model.embed_tokens.weight";
  return fmt::format("{}lm_head", embedding.substr(0, embedding.size() - kEmbedding.size()));
}

/// The head of an untied model is converted; a tied one gets a head from its embedding.
void add_head_step(const std::vector<std::string>& names, std::vector<Step>& steps) {
  const auto ends_with = [](std::string_view end) {
    return [end](const std::string& name) { return name.ends_with(end); };
  };
  const auto head = std::ranges::find_if(steps, ends_with("lm_head.weight"), &Step::source_name);
  if (head != steps.end()) {
    head->module = head->source_name.substr(0, head->source_name.size() - kWeight.size());
    head->layout = ScaleLayout::per_row;
    return;
  }
  const auto embedding = std::ranges::find_if(names, ends_with("model.embed_tokens.weight"));
  if (embedding == names.end())
    fail(ErrorCode::not_found,
         "there is neither an lm_head.weight nor an embed_tokens.weight to make an FP8 head of");
  steps.push_back({*embedding, head_name_beside(*embedding), ScaleLayout::per_row});
}

std::vector<Step> plan_steps(const TensorSource& source, const QuantizeOptions& options) {
  const std::vector<std::string> names = source.names();
  std::vector<Step> steps;
  bool any = false;
  for (const std::string& name : names) {
    Step& step = steps.emplace_back(Step{.source_name = name, .module = {}});
    if (const auto module = linear_module(name)) {
      step.module = *module;
      step.layout = options.layout;
      any = true;
    }
  }
  if (!any)
    fail(ErrorCode::invalid_argument, "{}: none of its {} tensors is a linear layer of a block",
         source.describe(), names.size());
  if (options.quantize_lm_head) add_head_step(names, steps);
  return steps;
}

/// Writes model.safetensors: tensors are read, converted and written one at a time.
class CheckpointQuantizer {
 public:
  CheckpointQuantizer(const TensorSource& source, std::vector<Step> steps, ScaleLayout layout)
      : source_(source),
        steps_(std::move(steps)),
        scale_suffix_(layout == ScaleLayout::per_row ? ".weight_scale" : ".weight_scale_inv") {
    for (std::size_t i = 0; i < steps_.size(); ++i) plan_step(i);
  }

  void write(const fs::path& path,
             const std::function<void(std::int64_t, std::int64_t, std::string_view)>& progress) {
    write_safetensors(path, plan_, {{"format", "pt"}}, [&](std::size_t i) {
      const Part& part = parts_[i];
      if (part.scale) return std::as_bytes(std::span(quantized_.scales));
      release_previous();
      const Step& step = steps_[part.step];
      if (progress)
        progress(std::int64_t(part.step), std::int64_t(steps_.size()), step.source_name);
      current_ = source_.find(step.source_name);
      if (step.layout == ScaleLayout::none)
        return std::span(static_cast<const std::byte*>(current_.data),
                         std::size_t(current_.bytes()));
      quantize_matrix(current_, step.layout, step.source_name, pool_, quantized_);
      return std::as_bytes(std::span(quantized_.codes));
    });
    release_previous();
    if (progress) progress(std::int64_t(steps_.size()), std::int64_t(steps_.size()), "done");
  }

 private:
  /// What entry i of the plan holds: a step's tensor, or the scales that came with the one before
  /// it.
  struct Part {
    std::size_t step;
    bool scale;
  };

  void plan_step(std::size_t i) {
    const Step& step = steps_[i];
    const TensorView tensor = source_.find(step.source_name);
    if (step.layout == ScaleLayout::none) {
      plan_.push_back({step.source_name, tensor.dtype, tensor.shape});
      parts_.push_back({i, false});
      return;
    }
    const bool plain =
        tensor.dtype == DType::f32 || tensor.dtype == DType::f16 || tensor.dtype == DType::bf16;
    if (!plain || tensor.shape.rank() != 2 || tensor.shape.elements() == 0)
      fail(ErrorCode::invalid_argument,
           "{}: '{}' is {} {}; only f32, f16 and bf16 matrices can be quantized",
           source_.describe(), step.source_name, name_of(tensor.dtype), tensor.shape.to_string());
    plan_.push_back({step.module + std::string(kWeight), DType::f8_e4m3, tensor.shape});
    parts_.push_back({i, false});
    plan_.push_back({step.module + std::string(scale_suffix_), DType::f32,
                     stored_scale_shape(step.layout, tensor.shape[0], tensor.shape[1])});
    parts_.push_back({i, true});
  }

  void release_previous() {
    if (!current_.empty()) source_.release(current_);
    current_ = {};
  }

  const TensorSource& source_;
  std::vector<Step> steps_;
  std::string_view scale_suffix_;
  std::vector<TensorPlan> plan_;
  std::vector<Part> parts_;  ///< parallel to plan_
  ThreadPool pool_;
  TensorView current_;
  QuantizedMatrix quantized_;
};

/// Files that belong to the old weights or are written anew.
bool is_copied(const fs::path& file) {
  const std::string name = file.filename().string();
  for (const std::string_view end :
       {".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".pt", ".pth",
        ".gguf", ".onnx", ".h5", ".msgpack"})
    if (name.ends_with(end)) return false;
  return name != "config.json" && name != "params.json" && !name.starts_with('.');
}

void copy_other_files(const fs::path& source_dir, const fs::path& target_dir) {
  for (const fs::directory_entry& entry : fs::directory_iterator(source_dir))
    if (entry.is_regular_file() && is_copied(entry.path()))
      fs::copy_file(entry.path(), target_dir / entry.path().filename());
}

/// A folder under construction beside its final place; removed unless published.
class PartialFolder {
 public:
  explicit PartialFolder(const fs::path& final_path)
      : final_(final_path), partial_(beside("partial")), replaced_(beside("replaced")) {
    fs::create_directories(final_.parent_path());
    fs::remove_all(partial_);
    fs::create_directory(partial_);
  }
  ~PartialFolder() {
    std::error_code ignored;
    fs::remove_all(partial_, ignored);
  }
  PartialFolder(const PartialFolder&) = delete;
  PartialFolder& operator=(const PartialFolder&) = delete;

  const fs::path& path() const { return partial_; }

  void publish() {
    if (fs::exists(final_)) fs::rename(final_, replaced_);
    fs::rename(partial_, final_);
    fs::remove_all(replaced_);
  }

 private:
  fs::path beside(std::string_view what) const {
    return final_.parent_path() /
           fmt::format(".{}.{}-{}", final_.filename().string(), what, ::getpid());
  }

  fs::path final_, partial_, replaced_;
};

/// Absolute and without a trailing slash, so that it has a name and a parent.
fs::path normal_path(const fs::path& path) {
  fs::path result = fs::weakly_canonical(fs::absolute(path));
  return result.has_filename() ? result : result.parent_path();
}

void check_target(const fs::path& source, const fs::path& target, bool overwrite) {
  if (source == target)
    fail(ErrorCode::invalid_argument, "{} is both source and target", source.string());
  if (!fs::exists(target)) return;
  if (!overwrite)
    fail(ErrorCode::invalid_argument, "{} exists already; remove it or ask to overwrite it",
         target.string());
  const bool replaceable =
      fs::is_directory(target) && (fs::is_empty(target) || fs::exists(target / "config.json"));
  if (!replaceable)
    fail(ErrorCode::invalid_argument, "{} is not a model's folder, so it is not overwritten",
         target.string());
  const auto [end, ignored] = std::ranges::mismatch(target, source);
  if (end == target.end())
    fail(ErrorCode::invalid_argument, "{} contains the source {}", target.string(),
         source.string());
}

void quantize_into(
    const fs::path& source_dir, const fs::path& target_dir, const QuantizeOptions& options,
    const std::function<void(std::int64_t, std::int64_t, std::string_view)>& progress) {
  check_target(source_dir, target_dir, options.overwrite);
  const ModelConfig config = read_model_config(source_dir);
  if (config.path.filename() != "config.json")
    fail(ErrorCode::invalid_argument, "{}: only folders with a config.json can be quantized",
         source_dir.string());
  if (config.text.quantization.fp8)
    fail(ErrorCode::invalid_argument, "{}: the model is quantized already", config.path.string());
  const auto source = open_checkpoint(source_dir);
  CheckpointQuantizer quantizer(*source, plan_steps(*source, options), options.layout);
  PartialFolder folder(target_dir);
  quantizer.write(folder.path() / "model.safetensors", progress);
  copy_other_files(source_dir, folder.path());
  write_quantized_config(config, options, folder.path() / "config.json");
  folder.publish();
}

}  // namespace

void quantize_checkpoint(
    const fs::path& source_dir, const fs::path& target_dir, const QuantizeOptions& options,
    const std::function<void(std::int64_t, std::int64_t, std::string_view)>& progress) {
  if (options.layout == ScaleLayout::none)
    fail(ErrorCode::invalid_argument, "a scale layout is needed: block, row or tensor");
  try {
    quantize_into(normal_path(source_dir), normal_path(target_dir), options, progress);
  } catch (const fs::filesystem_error& error) {
    fail(ErrorCode::invalid_argument, "cannot write {}: {}", target_dir.string(), error.what());
  }
}

}  // namespace isotope::weights
