// Names of a decoder's tensors in the Hugging Face layouts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "weights/checkpoint.h"

namespace isotope::models {

/// The same tensors stand under three layouts: "model.X" + "lm_head" (text models),
/// "language_model.model.X" + "language_model.lm_head" (Mistral3 on disk), "model.language_model.X"
/// + "lm_head" (transformers' run-time names).
class TensorNames {
 public:
  /// Recognizes the layout by the names that are there; text models' if none fits.
  explicit TensorNames(const weights::TensorSource& source);

  /// Prefixes of linear layers, without ".weight".
  std::string embedding() const { return body_ + "embed_tokens"; }
  std::string head() const { return head_; }
  std::string linear(std::int64_t layer, std::string_view name) const;
  /// Full names.
  std::string final_norm() const { return body_ + "norm.weight"; }
  std::string norm(std::int64_t layer, std::string_view name) const;

 private:
  std::string body_, head_;
};

}  // namespace isotope::models
