// For tests: a checkpoint with some of its tensors replaced or taken away.
#pragma once

#include <cstddef>
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weights/checkpoint.h"

namespace isotope::models {

/// Answers from `base` except where it was told otherwise. `base` must outlive it.
class TestSource final : public weights::TensorSource {
 public:
  explicit TestSource(const weights::TensorSource& base) : base_(base) {}

  TensorView find(std::string_view name) const override {
    if (removed_.contains(name)) return {};
    const auto own = own_.find(name);
    return own == own_.end() ? base_.find(name) : own->second.view;
  }

  std::vector<std::string> names() const override {
    std::set<std::string> all;
    for (const std::string& name : base_.names())
      if (!removed_.contains(name)) all.insert(name);
    for (const auto& [name, tensor] : own_) all.insert(name);
    return {all.begin(), all.end()};
  }

  void release(const TensorView&) const override {}
  std::string describe() const override { return base_.describe(); }

  void remove(const std::string& name) {
    own_.erase(name);
    removed_.insert(name);
  }

  /// A copy under `name`, to be changed through the view that this returns.
  TensorView replace(const std::string& name, const TensorView& tensor) {
    removed_.erase(name);
    Tensor& own = own_[name];
    const auto* bytes = static_cast<const std::byte*>(tensor.data);
    own.bytes.assign(bytes, bytes + tensor.bytes());
    own.view = TensorView(tensor.dtype, tensor.shape, own.bytes.data());
    return own.view;
  }

  /// Row i of the matrix (element i of a vector) becomes what row order(i) was.
  void reorder_rows(const std::string& name,
                    const std::function<std::int64_t(std::int64_t)>& order) {
    const TensorView old = find(name);
    const std::vector<std::byte> before(static_cast<const std::byte*>(old.data),
                                        static_cast<const std::byte*>(old.data) + old.bytes());
    const TensorView view = replace(name, old);
    const std::size_t row = before.size() / std::size_t(view.shape[0]);
    for (std::int64_t i = 0; i < view.shape[0]; ++i)
      std::memcpy(static_cast<std::byte*>(view.data) + std::size_t(i) * row,
                  before.data() + std::size_t(order(i)) * row, row);
  }

  void swap(const std::string& a, const std::string& b) {
    const TensorView old_a = find(a);
    const std::vector<std::byte> bytes(static_cast<const std::byte*>(old_a.data),
                                       static_cast<const std::byte*>(old_a.data) + old_a.bytes());
    const TensorView copy_of_a(old_a.dtype, old_a.shape, bytes.data());
    replace(a, find(b));
    replace(b, copy_of_a);
  }

 private:
  struct Tensor {
    std::vector<std::byte> bytes;
    TensorView view;
  };
  const weights::TensorSource& base_;
  std::map<std::string, Tensor, std::less<>> own_;
  std::set<std::string, std::less<>> removed_;
};

}  // namespace isotope::models
