// What the tests of this room share: hand-made files, scratch folders, checked errors.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "weights/checkpoint.h"

namespace isotope::weights {

inline std::filesystem::path test_data(const std::string& name) {
  return std::filesystem::path(ISOTOPE_TEST_DATA) / name;
}

/// An empty folder for one test.
inline std::filesystem::path scratch_folder(const std::string& name) {
  const auto path = std::filesystem::path(ISOTOPE_TEST_WORK) / "weights" / name;
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path;
}

inline void write_file(const std::filesystem::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

/// A safetensors file: length, header, `data_bytes` bytes of data (0, 1, 2, …).
inline std::string safetensors_bytes(const std::string& header, std::size_t data_bytes) {
  const std::uint64_t length = header.size();
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  file += header;
  for (std::size_t i = 0; i < data_bytes; ++i) file += char(i);
  return file;
}

/// Runs `action`, which must fail with `code` and a message that holds every one of `parts`.
template <typename Action>
void expect_error(ErrorCode code, const std::vector<std::string>& parts, Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    for (const std::string& part : parts)
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
          << "no '" << part << "' in: " << error.what();
    return;
  }
  ADD_FAILURE() << "no error; expected one about '" << (parts.empty() ? "" : parts[0]) << "'";
}

/// Tensors held in memory, for tests that need no file.
class MemorySource final : public TensorSource {
 public:
  template <typename T>
  void add(const std::string& name, Shape shape, std::vector<T> values) {
    ASSERT_EQ(shape.elements(), std::int64_t(values.size())) << name;
    std::vector<std::byte> bytes(values.size() * sizeof(T));
    if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    Held& held = tensors_[name];
    held.bytes = std::move(bytes);
    held.view = TensorView(DTypeOf<T>::value, shape, static_cast<void*>(held.bytes.data()));
  }

  TensorView find(std::string_view name) const override {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? TensorView() : found->second.view;
  }
  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    for (const auto& [name, held] : tensors_) names.push_back(name);
    return names;
  }
  void release(const TensorView&) const override {}
  std::string describe() const override { return "tensors in memory"; }

 private:
  struct Held {
    std::vector<std::byte> bytes;
    TensorView view;
  };
  std::map<std::string, Held, std::less<>> tensors_;
};

}  // namespace isotope::weights
