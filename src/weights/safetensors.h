// The safetensors file format: one file, read or written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/tensor.h"

namespace isotope::weights {

/// One mapped file; its header is fully checked at construction (see open_checkpoint).
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::map<std::string, TensorView, std::less<>>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const MappedFile& file() const { return file_; }

 private:
  MappedFile file_;
  std::map<std::string, TensorView, std::less<>> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// What the writer needs to know of a tensor before its bytes exist.
struct TensorPlan {
  std::string name;
  DType dtype;
  Shape shape;
};

/// Writes a file tensor by tensor in the given order; `produce(i)` returns the bytes of tensor i (exactly its size).
/// The file appears under its name only when it is complete (written beside it, then renamed).
void write_safetensors(const std::filesystem::path& path, std::span<const TensorPlan> plan,
                       const std::map<std::string, std::string>& metadata,
                       const std::function<std::span<const std::byte>(std::size_t)>& produce);

}  // namespace isotope::weights
