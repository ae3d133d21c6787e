// A Hugging Face checkpoint folder: tensors by name, mapped, never copied.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/tensor.h"

namespace isotope::weights {

/// The tensors of a model, wherever they come from. Views stay valid as long as the source.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  /// The tensor, or an empty view if there is none.
  virtual TensorView find(std::string_view name) const = 0;
  /// Whether find() would give a tensor. Cheap, while find() may have to make it.
  virtual bool contains(std::string_view name) const { return !find(name).empty(); }
  /// All names, sorted.
  virtual std::vector<std::string> names() const = 0;
  /// The tensor was read for the last time; its pages need not stay resident.
  virtual void release(const TensorView& tensor) const = 0;
  /// For errors: "model.safetensors of /models/x", "random weights".
  virtual std::string describe() const = 0;
};

/// Opens model.safetensors.index.json with its shards, or else model.safetensors, or else
/// consolidated.safetensors (mistral-native, see native_source.h). Every header is checked (JSON
/// syntax, dtypes, shapes × dtype = bytes, ranges inside the file, no overlap, no gap, name unique
/// across shards, index and shards agree). Errors name file, tensor and value.
std::unique_ptr<TensorSource> open_checkpoint(const std::filesystem::path& model_dir);

}  // namespace isotope::weights
