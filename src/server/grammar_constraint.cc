#include "server/grammar_constraint.h"

#include <utility>

namespace isotope::server {
namespace {

class GrammarConstraint final : public engine::TokenConstraint {
 public:
  GrammarConstraint(std::shared_ptr<const text::CompiledGrammar> grammar,
                    std::vector<TokenId> end_ids, text::GrammarEnd end)
      : matcher_(std::move(grammar), std::move(end_ids), end) {}

  void fill_mask(std::span<std::uint32_t> mask, std::int64_t tokens_left) override {
    matcher_.fill_mask(mask, tokens_left);
  }
  bool accept(TokenId token) override { return matcher_.accept(token); }
  bool finished() const override { return matcher_.finished(); }

 private:
  text::GrammarMatcher matcher_;
};

}  // namespace

std::shared_ptr<engine::TokenConstraint> constrain(
    std::shared_ptr<const text::CompiledGrammar> grammar, std::vector<TokenId> end_ids,
    text::GrammarEnd end) {
  return std::make_shared<GrammarConstraint>(std::move(grammar), std::move(end_ids), end);
}

}  // namespace isotope::server
