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
  /// Well-formed tensors that a TensorView cannot stand for, with the reason ("dtype F64 is not
  /// supported").
  const std::map<std::string, std::string, std::less<>>& unsupported() const {
    return unsupported_;
  }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const MappedFile& file() const { return file_; }

 private:
  MappedFile file_;
  std::map<std::string, TensorView, std::less<>> tensors_;
  std::map<std::string, std::string, std::less<>> unsupported_;
  std::map<std::string, std::string> metadata_;
};

/// What the writer needs to know of a tensor before its bytes exist.
struct TensorPlan {
  std::string name;
  DType dtype;
  Shape shape;
};

/// Writes a file tensor by tensor; `produce(i)` is called in the order of `plan` and returns the
/// bytes of tensor i (exactly its size), which need to live only until the next call. Inside the
/// file tensors lie as the reference implementation puts them, wide dtypes first and then by name,
/// so that all of them are aligned. The file appears under its name only when it is complete
/// (written beside it, then renamed).
void write_safetensors(const std::filesystem::path& path, std::span<const TensorPlan> plan,
                       const std::map<std::string, std::string>& metadata,
                       const std::function<std::span<const std::byte>(std::size_t)>& produce);

}  // namespace isotope::weights
