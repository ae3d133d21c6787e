// What of the hub needs no network: names, ranges, checksums, settings, partial files.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "base/error.h"
#include "base/file.h"
#include "weights/hub/blob_hash.h"
#include "weights/hub/cache.h"
#include "weights/hub/names.h"
#include "weights/hub/partial_file.h"
#include "weights/hub/settings.h"

namespace isotope::weights::hub {
namespace {

namespace fs = std::filesystem;

TEST(HubNames, Repositories) {
  for (const char* good : {"Qwen/Qwen3-8B-FP8", "gpt2", "a_b/c.d-1"})
    EXPECT_TRUE(is_repo_id(good)) << good;
  for (const char* bad : {"", "/", "a/", "/a", "a/b/c", "../x", "a/..", "a b/c", "a/b--c", "a/b\n",
                          "-a/b", ".a/b", "a/b?x"})
    EXPECT_FALSE(is_repo_id(bad)) << bad;
}

TEST(HubNames, FilesThatWouldLeaveTheFolder) {
  for (const char* good : {"config.json", "a/b/c.json", "..a", "a..b", "ü.json"})
    EXPECT_NO_THROW(check_file_name(good)) << good;
  for (const char* bad :
       {"", ".", "..", "../a", "a/../b", "/a", "a//b", "a/", "./a", "a\\b", "a\nb", "a\x7f"})
    EXPECT_THROW(check_file_name(bad), Error) << bad;
  EXPECT_THROW(check_file_name(std::string(256, 'x')), Error);
  EXPECT_THROW(check_file_name(std::string_view("a\0b", 3)), Error);
  EXPECT_NO_THROW(check_revision("refs/pr/1"));
  EXPECT_THROW(check_revision("../../x"), Error);
}

TEST(HubNames, Etags) {
  EXPECT_EQ(normalize_etag("\"abc\""), "abc");
  EXPECT_EQ(normalize_etag("W/\"a-b_c.1\""), "a-b_c.1");
  EXPECT_EQ(normalize_etag("abc"), "abc");
  for (const char* bad : {"", "\"\"", "\"../x\"", "a/b", ".hidden", "a b"})
    EXPECT_THROW(normalize_etag(bad), Error) << bad;
}

TEST(HubNames, ContentRanges) {
  const auto range = parse_content_range("bytes 5-9/20");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->first, 5);
  EXPECT_EQ(range->last, 9);
  EXPECT_EQ(range->total, 20);
  for (const char* bad :
       {"", "bytes", "bytes 5-9", "bytes 5-9/*", "bytes 9-5/20", "bytes 5-20/20", "bytes -1-5/20",
        "bytes 5-9/20x", "items 5-9/20", "bytes 0-99999999999999999999/20"})
    EXPECT_FALSE(parse_content_range(bad)) << bad;
}

TEST(HubNames, OriginsDecideWhoSeesTheToken) {
  EXPECT_EQ(origin_of("https://Hub.co/a/b"), "https://hub.co");
  EXPECT_EQ(origin_of("https://hub.co:443/a"), "https://hub.co");
  EXPECT_EQ(origin_of("http://hub.co:80"), "http://hub.co");
  EXPECT_EQ(origin_of("https://hub.co@evil.co/"), "https://evil.co");
  for (const char* other : {"http://hub.co/", "https://hub.co:444/", "https://hub.co.evil.co/",
                            "https://evil.co/https://hub.co", "https://evil.co?@hub.co"})
    EXPECT_NE(origin_of(other), "https://hub.co") << other;
}

TEST(HubNames, Quoting) {
  EXPECT_EQ(url_quote("a b/ü?#%", true), "a%20b/%C3%BC%3F%23%25");
  EXPECT_EQ(url_quote("refs/pr/1", false), "refs%2Fpr%2F1");
}

TEST(HubNames, WhatServingNeeds) {
  const std::vector<std::string> names = {
      "README.md",       "config.json", "consolidated.safetensors", "model.safetensors",
      "onnx/model.json", "tekken.json", "pytorch_model.bin",        "chat_template.jinja"};
  using Names = std::vector<std::string>;
  EXPECT_EQ(select_files(names, {}),
            (Names{"config.json", "model.safetensors", "tekken.json", "chat_template.jinja"}));
  EXPECT_EQ(select_files({"params.json", "consolidated.safetensors"}, {}),
            (Names{"params.json", "consolidated.safetensors"}));
  EXPECT_EQ(select_files(names, {.include = {"*.json"}, .exclude = {"onnx/"}}),
            (Names{"config.json", "tekken.json"}));
  EXPECT_EQ(select_files(names, {.include = {}, .exclude = {}, .all = true}), names);
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

TEST(HubHash, EtagsAreChecksums) {
  // `printf hello | sha256sum` and `printf hello | git hash-object --stdin`
  const std::string sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
  const std::string git = "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0";
  for (const std::string& etag : {sha256, git}) {
    BlobHash hash(etag, 5);
    hash.update(bytes_of("hel"));
    hash.update(bytes_of("lo"));
    EXPECT_EQ(hash.finish(), etag);
  }
  EXPECT_EQ(BlobHash("an-etag-of-a-mirror", 5).finish(), "");
}

class HubFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "isotope-hub-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path folder_;
};

TEST_F(HubFiles, PartialFileGoesOnWhereItWas) {
  const std::int64_t size = PartialFile::kPartBytes + 100;
  const fs::path path = folder_ / "x.incomplete";
  {
    PartialFile file(path, size);
    ASSERT_EQ(file.num_parts(), 2u);
    EXPECT_EQ(file.part(1).first, PartialFile::kPartBytes);
    EXPECT_EQ(file.part(1).last, size - 1);
    file.write(PartialFile::kPartBytes, bytes_of("second"));
    file.write(0, bytes_of("first"));
  }
  PartialFile file(path, size);
  EXPECT_EQ(file.present(), 11);
  EXPECT_EQ(file.prefix(), 5);
  EXPECT_EQ(file.part(0).first, 5);
  EXPECT_EQ(file.part(1).first, PartialFile::kPartBytes + 6);
  file.write(5, std::vector<std::byte>(std::size_t(PartialFile::kPartBytes - 5)));
  file.write(PartialFile::kPartBytes + 6, std::vector<std::byte>(94));
  EXPECT_EQ(file.prefix(), size);
  file.seal();
  EXPECT_EQ(fs::file_size(path), std::uintmax_t(size));
  EXPECT_EQ(PartialFile(path, size).present(), size);
}

TEST_F(HubFiles, PartialFileOfAnotherSizeBeginsAnew) {
  const fs::path path = folder_ / "x.incomplete";
  PartialFile(path, 100).write(0, bytes_of("something"));
  EXPECT_EQ(PartialFile(path, 90).present(), 0);
  std::ofstream(path) << "no table";
  EXPECT_EQ(PartialFile(path, 100).present(), 0);
  fs::remove(path);
  std::ofstream(path) << "a start";
  EXPECT_EQ(PartialFile(path, 100, true).present(), 7);
}

TEST_F(HubFiles, CacheLinksAndRefs) {
  const RepositoryCache cache(folder_, "org/name");
  const std::string commit(40, 'a');
  const FileInfo file{.name = "sub/x.json", .etag = "abc", .size = 2};
  cache.prepare();
  EXPECT_FALSE(cache.has_blob(file));
  std::ofstream(cache.blob("abc")) << "{}";
  EXPECT_TRUE(cache.has_blob(file));
  cache.link(commit, file);
  cache.link(commit, file);
  EXPECT_EQ(fs::read_symlink(cache.snapshot(commit) / "sub/x.json"), "../../../blobs/abc");
  EXPECT_EQ(read_file(cache.snapshot(commit) / "sub/x.json"), "{}");
  EXPECT_FALSE(cache.commit_of("main"));
  cache.set_ref("main", commit);
  EXPECT_EQ(cache.commit_of("main"), commit);
  EXPECT_EQ(cache.commit_of(commit), commit);
  const auto models = cached_models(folder_);
  ASSERT_EQ(models.size(), 1u);
  EXPECT_EQ(models[0].name, "org/name");
  EXPECT_EQ(models[0].bytes, 2u);
  EXPECT_EQ(models[0].revisions, std::vector<std::string>{"main"});
}

TEST_F(HubFiles, SnapshotsThatLackAFile) {
  const auto touch = [this](const char* name, const char* text = "{}") {
    std::ofstream(folder_ / name) << text;
  };
  EXPECT_EQ(missing_file(folder_), "config.json");
  touch("config.json");
  EXPECT_EQ(missing_file(folder_), "tokenizer.json");
  touch("tekken.json");
  EXPECT_EQ(missing_file(folder_), "model.safetensors");
  touch("model.safetensors.index.json", R"({"weight_map": {"a": "1.safetensors"}})");
  EXPECT_EQ(missing_file(folder_), "1.safetensors");
  touch("1.safetensors");
  EXPECT_EQ(missing_file(folder_), std::nullopt);
}

/// Sets variables, and the old values again at the end.
class Environment {
 public:
  explicit Environment(std::vector<std::pair<std::string, std::string>> values) {
    for (const char* name : {"HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME",
                             "HF_ENDPOINT", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH",
                             "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HOME"}) {
      const char* old = std::getenv(name);
      old_.emplace_back(name, old ? std::optional<std::string>(old) : std::nullopt);
      ::unsetenv(name);
    }
    for (const auto& [name, value] : values) ::setenv(name.c_str(), value.c_str(), 1);
  }
  ~Environment() {
    for (const auto& [name, value] : old_)
      value ? ::setenv(name.c_str(), value->c_str(), 1) : ::unsetenv(name.c_str());
  }

 private:
  std::vector<std::pair<std::string, std::optional<std::string>>> old_;
};

TEST_F(HubFiles, SettingsOfTheEnvironment) {
  const auto cache = [](std::vector<std::pair<std::string, std::string>> values) {
    const Environment environment(std::move(values));
    return settings_from_environment().cache.string();
  };
  EXPECT_EQ(cache({{"HOME", "/h"}}), "/h/.cache/huggingface/hub");
  EXPECT_EQ(cache({{"HOME", "/h"}, {"XDG_CACHE_HOME", "/c"}}), "/c/huggingface/hub");
  EXPECT_EQ(cache({{"HOME", "/h"}, {"HF_HOME", "~/hf"}}), "/h/hf/hub");
  EXPECT_EQ(cache({{"HF_HUB_CACHE", "/hub"}, {"HF_HOME", "/hf"}}), "/hub");
  EXPECT_EQ(cache({{"HF_HUB_CACHE", "/hub"}}), "/hub");
  EXPECT_THROW(cache({}), Error);

  std::ofstream(folder_ / "token") << "hf_file\n";
  const std::pair<std::string, std::string> home{"HF_HOME", folder_.string()};
  {
    const Environment environment({home});
    EXPECT_EQ(settings_from_environment().token, "hf_file");
  }
  {
    const Environment environment({home,
                                   {"HF_TOKEN", "hf_env"},
                                   {"HF_HUB_OFFLINE", "yes"},
                                   {"HF_ENDPOINT", "https://mirror.co/"}});
    const Settings settings = settings_from_environment();
    EXPECT_EQ(settings.token, "hf_env");
    EXPECT_EQ(settings.token_source, "HF_TOKEN");
    EXPECT_EQ(settings.endpoint, "https://mirror.co");
    EXPECT_TRUE(settings.offline);
  }
  const Environment environment({home, {"HF_TOKEN", "a\r\nHost: b"}});
  EXPECT_THROW(settings_from_environment(), Error);
}

}  // namespace
}  // namespace isotope::weights::hub
