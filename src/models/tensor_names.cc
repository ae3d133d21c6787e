#include "models/tensor_names.h"

#include <array>
#include <utility>

#include <fmt/core.h>

namespace isotope::models {

TensorNames::TensorNames(const weights::TensorSource& source) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kLayouts = {{
      {"model.", "lm_head"},
      {"language_model.model.", "language_model.lm_head"},
      {"model.language_model.", "lm_head"},
  }};
  for (const auto& [body, head] : kLayouts) {
    body_ = body;
    head_ = head;
    if (!source.find(final_norm()).empty() || !source.find(embedding() + ".weight").empty()) return;
  }
  body_ = kLayouts[0].first;
  head_ = kLayouts[0].second;
}

std::string TensorNames::linear(std::int64_t layer, std::string_view name) const {
  return fmt::format("{}layers.{}.{}", body_, layer, name);
}

std::string TensorNames::norm(std::int64_t layer, std::string_view name) const {
  return fmt::format("{}layers.{}.{}.weight", body_, layer, name);
}

}  // namespace isotope::models
