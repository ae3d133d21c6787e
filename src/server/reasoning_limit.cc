#include "server/reasoning_limit.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "text/answer_parser.h"
#include "text/tokenizer.h"

#include "text/utf8.h"

namespace isotope::server {
namespace {

constexpr std::int64_t kBitsPerWord = 32;

text::AnswerFormat reasoning_only(text::AnswerFormat format, const text::Tokenizer& tokenizer) {
  format.tool_calls = text::ToolCallSyntax::none;
  format.find_marker_tokens(tokenizer);
  return format;
}

/// The tokens that end reasoning, as the model writes them.
std::vector<TokenId> closing_tokens(text::ReasoningSyntax syntax,
                                    const text::Tokenizer& tokenizer) {
  const bool qwen3 = syntax == text::ReasoningSyntax::qwen3;
  return tokenizer.encode(qwen3 ? "\n</think>\n\n" : "[/THINK]", {});
}

class ReasoningLimit final : public engine::TokenConstraint {
 public:
  ReasoningLimit(const text::Tokenizer& tokenizer, const text::AnswerFormat& format,
                 std::int64_t budget, std::shared_ptr<TokenConstraint> inner)
      : tokenizer_(&tokenizer),
        format_(reasoning_only(format, tokenizer)),
        parser_(format_),
        closing_(closing_tokens(format.reasoning, tokenizer)),
        left_(budget),
        inner_(std::move(inner)) {
    begin_closing();
  }

  void fill_mask(std::span<std::uint32_t> mask, std::int64_t tokens_left) override {
    if (inner_) {
      inner_->fill_mask(mask, tokens_left);
    } else {
      std::fill(mask.begin(), mask.end(), ~std::uint32_t(0));
    }
    if (!closes()) return;
    const TokenId id = closing_[next_closing_];
    const std::size_t word = std::size_t(id / kBitsPerWord);
    const std::uint32_t bit = std::uint32_t(1) << (id % kBitsPerWord);
    if (!(mask[word] & bit)) {
      // A form of the answer that spells markers itself goes before the budget.
      possible_ = false;
      next_closing_ = closing_.size();
      return;
    }
    std::fill(mask.begin(), mask.end(), 0);
    mask[word] = bit;
  }

  bool accept(TokenId token) override {
    if (inner_ && !inner_->accept(token)) return false;
    if (closes()) ++next_closing_;
    if (in_reasoning()) --left_;
    read(token);
    if (!closes()) begin_closing();
    return true;
  }

  bool finished() const override { return inner_ && inner_->finished(); }

 private:
  bool closes() const { return next_closing_ < closing_.size(); }
  bool in_reasoning() const { return parser_.is_reasoning(parser_.decided_bytes()); }

  void read(TokenId token) {
    const std::string_view bytes = tokenizer_->token_bytes(token);
    text::AnswerDeltas ignored;
    const std::vector<TokenId>& markers = format_.marker_tokens;
    if (std::find(markers.begin(), markers.end(), token) != markers.end()) {
      parser_.push_marker(bytes, ignored);
    } else {
      parser_.push(bytes, ignored);
    }
    tail_ += bytes;
    tail_.erase(0, tail_.size() - text::incomplete_utf8_suffix(tail_));
  }

  /// If reasoning has used up its tokens; not within a character, unless it takes too long.
  void begin_closing() {
    constexpr std::int64_t kPatience = 3;
    next_closing_ = closing_.size();
    if (possible_ && in_reasoning() && left_ <= 0 && (tail_.empty() || left_ <= -kPatience))
      next_closing_ = 0;
  }

  const text::Tokenizer* tokenizer_;
  const text::AnswerFormat format_;
  text::AnswerParser parser_;
  const std::vector<TokenId> closing_;
  std::size_t next_closing_ = 0;
  std::int64_t left_;
  bool possible_ = true;  // `inner_` has let every forced token pass
  std::string tail_;      // the start of a character whose rest has not come
  std::shared_ptr<TokenConstraint> inner_;
};

}  // namespace

std::shared_ptr<engine::TokenConstraint> limit_reasoning(
    const text::Tokenizer& tokenizer, const text::AnswerFormat& format, std::int64_t budget,
    std::shared_ptr<engine::TokenConstraint> inner) {
  return std::make_shared<ReasoningLimit>(tokenizer, format, budget, std::move(inner));
}

}  // namespace isotope::server
