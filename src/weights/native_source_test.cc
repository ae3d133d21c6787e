#include "weights/native_source.h"

#include <fstream>

#include "weights/safetensors.h"
#include "weights/test_support.h"

namespace isotope::weights {
namespace {

namespace fs = std::filesystem;

/// First column of a published tensor list.
std::vector<std::string> published_names(const std::string& file_name) {
  std::ifstream file(test_data("weights/" + file_name));
  std::vector<std::string> names;
  std::string line;
  std::getline(file, line);  // column titles
  while (std::getline(file, line)) names.push_back(line.substr(0, line.find('\t')));
  return names;
}

TEST(NativeSource, GivesTheNamesOfTheHuggingFaceRelease) {
  auto native = std::make_unique<MemorySource>();
  for (const std::string& name :
       published_names("Ministral-3-8B-Instruct-2512.native-text-tensors.tsv"))
    native->add(name, {1}, std::vector<float>{0});
  std::vector<std::string> expected;
  for (const std::string& name : published_names("Ministral-3-8B-Instruct-2512.text-tensors.tsv"))
    expected.push_back(name.substr(std::string("language_model.").size()));
  std::ranges::sort(expected);
  ASSERT_EQ(expected.size(), 785u);
  EXPECT_EQ(make_native_source(std::move(native), {})->names(), expected);
}

/// native.safetensors as the only weights of a folder: 4 query heads and 2 KV heads of 6 elements.
fs::path native_folder(const std::string& head_dim) {
  const fs::path folder = scratch_folder("native");
  fs::copy_file(test_data("weights/native.safetensors"), folder / "consolidated.safetensors");
  write_file(folder / "params.json",
             R"({"dim":3,"n_layers":1,"n_heads":4,"n_kv_heads":2,"hidden_dim":8,"vocab_size":12,
                 "norm_eps":1e-5,"max_position_embeddings":64,"head_dim":)" +
                 head_dim + "}");
  return folder;
}

void expect_same(const TensorView& actual, const TensorView& expected) {
  ASSERT_EQ(actual.dtype, expected.dtype);
  ASSERT_EQ(actual.shape, expected.shape);
  EXPECT_EQ(std::memcmp(actual.data, expected.data, std::size_t(expected.bytes())), 0);
}

TEST(NativeSource, ReordersTheRowsOfQAndKAsTheReleaseDoes) {
  const auto source = open_checkpoint(native_folder("6"));
  const SafetensorsFile expected(test_data("weights/native-expected.safetensors"));
  const std::string attention = "model.layers.0.self_attn.";
  // Twice: a released copy is made again.
  for (int round = 0; round < 2; ++round) {
    const TensorView q = source->find(attention + "q_proj.weight");
    expect_same(q, expected.tensors().at("q"));
    source->release(q);
  }
  expect_same(source->find(attention + "k_proj.weight"), expected.tensors().at("k"));
  expect_same(source->find(attention + "v_proj.weight"), expected.tensors().at("v"));
  EXPECT_EQ(load_float(source->find(attention + "q_proj.weight_scale_inv"), 0), 0.5f);
  EXPECT_EQ(load_float(source->find(attention + "q_proj.activation_scale"), 0), 0.25f);
  EXPECT_EQ(source->names(), (std::vector<std::string>{
                                 "model.embed_tokens.weight", attention + "k_proj.weight",
                                 attention + "o_proj.weight", attention + "q_proj.activation_scale",
                                 attention + "q_proj.weight", attention + "q_proj.weight_scale_inv",
                                 attention + "v_proj.weight",
                                 "multi_modal_projector.patch_merger.merging_layer.weight",
                                 "vision_tower.transformer.layers.0.attention.wq.weight"}));
  // The vision tower's rows stay as they are.
  expect_same(source->find("vision_tower.transformer.layers.0.attention.wq.weight"),
              expected.tensors().at("v"));
}

TEST(NativeSource, RowsMustFitTheHeads) {
  const auto source = open_checkpoint(native_folder("8"));
  expect_error(ErrorCode::corrupt_data, {"layers.0.attention.wq.weight", "[24, 3]", "32 rows"},
               [&] { source->find("model.layers.0.self_attn.q_proj.weight"); });
}

}  // namespace
}  // namespace isotope::weights
