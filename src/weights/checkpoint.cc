#include "weights/checkpoint.h"

#include <algorithm>
#include <map>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "weights/config.h"
#include "weights/native_source.h"
#include "weights/safetensors.h"

namespace isotope::weights {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIndexName = "model.safetensors.index.json";

/// The tensors of one or several mapped files.
class MappedCheckpoint final : public TensorSource {
 public:
  MappedCheckpoint(std::vector<SafetensorsFile> files, std::string description)
      : files_(std::move(files)), description_(std::move(description)) {
    for (const SafetensorsFile& file : files_) {
      for (const auto& [name, view] : file.tensors()) add(name, {view, &file});
      for (const auto& [name, problem] : file.unsupported()) add(name, {{}, &file});
    }
  }

  TensorView find(std::string_view name) const override {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) return {};
    const auto& [view, file] = found->second;
    if (view.empty())
      fail(ErrorCode::unsupported, "{}: tensor '{}': {}", file->file().path().string(), name,
           file->unsupported().find(name)->second);
    return view;
  }

  bool contains(std::string_view name) const override { return tensors_.contains(name); }

  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    names.reserve(tensors_.size());
    for (const auto& [name, place] : tensors_) names.push_back(name);
    return names;
  }

  void release(const TensorView& tensor) const override {
    const auto* begin = static_cast<const std::byte*>(tensor.data);
    for (const SafetensorsFile& file : files_) {
      const std::span<const std::byte> bytes = file.file().bytes();
      if (begin >= bytes.data() && begin < bytes.data() + bytes.size())
        file.file().release({begin, std::size_t(tensor.bytes())});
    }
  }

  std::string describe() const override { return description_; }

 private:
  struct Place {
    TensorView view;  ///< empty if unsupported
    const SafetensorsFile* file;
  };

  void add(const std::string& name, Place place) {
    const auto [existing, inserted] = tensors_.emplace(name, place);
    if (!inserted)
      fail(ErrorCode::corrupt_data, "tensor '{}' is both in {} and in {}", name,
           existing->second.file->file().path().string(), place.file->file().path().string());
  }

  std::vector<SafetensorsFile> files_;
  std::map<std::string, Place, std::less<>> tensors_;
  std::string description_;
};

/// weight_map of the index, grouped by shard: file name -> tensor names.
std::map<std::string, std::vector<std::string>> read_index(const fs::path& path) {
  const json::value document = parse_json_file(path);
  const JsonFields weight_map = JsonFields(document, path.string()).child("weight_map");
  std::map<std::string, std::vector<std::string>> shards;
  for (const auto& member : weight_map.object()) {
    const std::string file = weight_map.string(member.key());
    // The index may name files of its own folder only.
    if (file.find('/') != std::string::npos || !file.ends_with(".safetensors"))
      weight_map.wrong(member.key(), member.value(),
                       "the name of a .safetensors file beside the index");
    shards[file].emplace_back(member.key());
  }
  if (shards.empty()) fail(ErrorCode::corrupt_data, "{}: 'weight_map' is empty", path.string());
  return shards;
}

bool holds(const SafetensorsFile& file, const std::string& name) {
  return file.tensors().contains(name) || file.unsupported().contains(name);
}

std::unique_ptr<TensorSource> open_shards(const fs::path& index_path) {
  std::vector<SafetensorsFile> files;
  const auto shards = read_index(index_path);
  for (const auto& [file_name, names] : shards) {
    SafetensorsFile& file = files.emplace_back(index_path.parent_path() / file_name);
    for (const std::string& name : names) {
      if (!holds(file, name))
        fail(ErrorCode::corrupt_data, "{} says that tensor '{}' is in {}, but it is not",
             index_path.string(), name, file_name);
    }
    // All of `names` are there, so more tensors than names means one that the index leaves out.
    if (file.tensors().size() + file.unsupported().size() == names.size()) continue;
    for (const auto& [name, view] : file.tensors()) {
      if (std::ranges::find(names, name) == names.end())
        fail(ErrorCode::corrupt_data, "{} holds tensor '{}', which {} does not place there",
             file.file().path().string(), name, index_path.string());
    }
    fail(ErrorCode::corrupt_data, "{} holds tensors that {} does not place there",
         file.file().path().string(), index_path.string());
  }
  return std::make_unique<MappedCheckpoint>(
      std::move(files), fmt::format("{} files of {}", shards.size(), index_path.string()));
}

std::unique_ptr<TensorSource> open_file(const fs::path& path) {
  std::vector<SafetensorsFile> files;
  files.emplace_back(path);
  return std::make_unique<MappedCheckpoint>(std::move(files), path.string());
}

}  // namespace

std::unique_ptr<TensorSource> open_checkpoint(const fs::path& model_dir) {
  std::error_code error;
  if (!fs::is_directory(model_dir, error))
    fail(ErrorCode::not_found, "{} is not a folder; give the folder of a Hugging Face checkpoint",
         model_dir.string());
  if (fs::exists(model_dir / kIndexName, error)) return open_shards(model_dir / kIndexName);
  if (fs::exists(model_dir / "model.safetensors", error))
    return open_file(model_dir / "model.safetensors");
  if (fs::exists(model_dir / "consolidated.safetensors", error)) {
    const TextConfig text = read_model_config(model_dir).text;
    return make_native_source(open_file(model_dir / "consolidated.safetensors"), text);
  }
  fail(ErrorCode::not_found, "{} holds neither {}, model.safetensors nor consolidated.safetensors",
       model_dir.string(), kIndexName);
}

}  // namespace isotope::weights
