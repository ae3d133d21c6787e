#include "weights/checkpoint.h"

#include "base/file.h"
#include "weights/safetensors.h"
#include "weights/test_support.h"

namespace isotope::weights {
namespace {

namespace fs = std::filesystem;

/// A file with one byte tensor per name, holding that value.
void write_shard(const fs::path& path, const std::vector<std::pair<std::string, int>>& tensors) {
  std::vector<TensorPlan> plan;
  for (const auto& [name, value] : tensors) plan.push_back({name, DType::u8, {1}});
  std::byte value;
  write_safetensors(path, plan, {}, [&](std::size_t i) {
    value = std::byte(tensors[i].second);
    return std::span<const std::byte>(&value, 1);
  });
}

fs::path two_shards(const std::string& name) {
  const fs::path folder = scratch_folder(name);
  write_shard(folder / "model-1.safetensors", {{"a", 1}, {"b", 2}});
  write_shard(folder / "model-2.safetensors", {{"c", 3}});
  return folder;
}

void write_index(const fs::path& folder, const std::string& weight_map) {
  write_file(folder / "model.safetensors.index.json",
             "{\"metadata\":{\"total_size\":3},\"weight_map\":" + weight_map + "}");
}

constexpr const char* kGoodMap =
    R"({"a":"model-1.safetensors","b":"model-1.safetensors","c":"model-2.safetensors"})";

TEST(Checkpoint, OpensOneFile) {
  const fs::path folder = scratch_folder("single");
  fs::copy_file(test_data("weights/layout.safetensors"), folder / "model.safetensors");
  const auto source = open_checkpoint(folder);
  EXPECT_EQ(source->names().size(), 12u);
  const TensorView embedding = source->find("embedding");
  EXPECT_EQ(embedding.shape, (Shape{4, 3}));
  EXPECT_TRUE(source->find("embed").empty());
  // Released pages come back from the file.
  source->release(embedding);
  EXPECT_EQ(load_float(embedding, 11), 11.0f);
  EXPECT_NE(source->describe().find("model.safetensors"), std::string::npos);
}

TEST(Checkpoint, OpensShardsByTheirIndex) {
  const fs::path folder = two_shards("shards");
  write_index(folder, kGoodMap);
  // A stray single file must not win over the index.
  write_shard(folder / "model.safetensors", {{"stray", 9}});
  const auto source = open_checkpoint(folder);
  EXPECT_EQ(source->names(), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(source->find("b").as<std::uint8_t>()[0], 2);
  EXPECT_EQ(source->find("c").as<std::uint8_t>()[0], 3);
}

TEST(Checkpoint, IndexAndShardsMustAgree) {
  const fs::path folder = two_shards("disagree");
  const auto refuses = [&](const std::string& weight_map, const std::vector<std::string>& parts) {
    write_index(folder, weight_map);
    expect_error(ErrorCode::corrupt_data, parts, [&] { open_checkpoint(folder); });
  };
  refuses("{}", {"'weight_map' is empty"});
  refuses("[]", {"weight_map", "expected a JSON object"});
  refuses(R"({"a":1})", {"'a' is 1"});
  refuses(R"({"a":"../model-1.safetensors"})", {"../model-1.safetensors", "beside the index"});
  refuses(R"({"a":"/etc/passwd"})", {"/etc/passwd"});
  refuses(R"({"a":"model-1.safetensors"})", {"'b'", "does not place there"});
  refuses(R"({"a":"model-2.safetensors","c":"model-2.safetensors"})", {"'a'", "but it is not"});
  refuses(R"({"a":"model-1.safetensors","b":"model-1.safetensors","d":"model-2.safetensors"})",
          {"'d'", "model-2.safetensors"});
  write_index(folder, R"({"a":"model-3.safetensors"})");
  expect_error(ErrorCode::not_found, {"model-3.safetensors"}, [&] { open_checkpoint(folder); });
  write_file(folder / "model.safetensors.index.json", "{");
  expect_error(ErrorCode::corrupt_data, {"index.json", "JSON"}, [&] { open_checkpoint(folder); });
}

TEST(Checkpoint, ANameInTwoShardsIsRefused) {
  const fs::path folder = two_shards("twice");
  write_shard(folder / "model-2.safetensors", {{"a", 1}, {"c", 3}});
  write_index(folder, kGoodMap);
  expect_error(ErrorCode::corrupt_data, {"'a'", "model-2.safetensors"},
               [&] { open_checkpoint(folder); });
}

TEST(Checkpoint, AForeignDTypeIsAnErrorOnlyWhenAskedFor) {
  const fs::path folder = scratch_folder("foreign");
  fs::copy_file(test_data("weights/foreign.safetensors"), folder / "model.safetensors");
  const auto source = open_checkpoint(folder);
  EXPECT_EQ(source->names(), (std::vector<std::string>{"double", "single"}));
  EXPECT_EQ(load_float(source->find("single"), 1), 1.0f);
  expect_error(ErrorCode::unsupported, {"model.safetensors", "'double'", "F64"},
               [&] { source->find("double"); });
}

TEST(Checkpoint, MissingFoldersAndFilesAreNamed) {
  expect_error(ErrorCode::not_found, {"no/such/folder"}, [] { open_checkpoint("no/such/folder"); });
  const fs::path folder = scratch_folder("empty");
  expect_error(ErrorCode::not_found, {folder.string(), "model.safetensors"},
               [&] { open_checkpoint(folder); });
}

}  // namespace
}  // namespace isotope::weights
