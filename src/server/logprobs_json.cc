#include "server/logprobs_json.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/utf8.h"

namespace isotope::server {
namespace {

/// JSON has no infinity: a banned token gets what vLLM writes for it.
double finite(float logprob) { return std::max(double(logprob), -9999.0); }

std::string id_text(TokenId id) { return fmt::format("token_id:{}", id); }

std::size_t count_top(const engine::TokenLogprobs& logprobs, std::size_t limit) {
  return std::min(logprobs.top.size(), limit);
}

}  // namespace

std::string LogprobsWriter::chat_text(TokenId id) const {
  return as_ids_ ? id_text(id) : text::replace_invalid_utf8(tokenizer_->token_bytes(id));
}

std::string LogprobsWriter::legacy_text(TokenId id) const {
  if (as_ids_) return id_text(id);
  const std::string_view bytes = tokenizer_->token_bytes(id);
  std::string repaired = text::replace_invalid_utf8(bytes);
  if (repaired == bytes) return repaired;
  std::string escaped = "bytes:";
  for (const char byte : bytes)
    fmt::format_to(std::back_inserter(escaped), "\\x{:02x}", std::uint8_t(byte));
  return escaped;
}

void LogprobsWriter::Legacy::add(TokenId id, const engine::TokenLogprobs* logprobs,
                                 std::int64_t text_offset) {
  tokens_.push_back(json::value(writer_->legacy_text(id)));
  text_offset_.push_back(text_offset);
  if (!logprobs) {
    token_logprobs_.push_back(nullptr);
    top_logprobs_.push_back(nullptr);
    return;
  }
  token_logprobs_.push_back(finite(logprobs->logprob));
  // Most likely first; tokens with the same text share a key, which the likelier one keeps.
  json::object top;
  for (std::size_t i = 0; i < count_top(*logprobs, top_); ++i)
    top.emplace(writer_->legacy_text(logprobs->top[i].first), finite(logprobs->top[i].second));
  top.emplace(writer_->legacy_text(id), finite(logprobs->logprob));
  top_logprobs_.push_back(std::move(top));
}

json::object LogprobsWriter::Legacy::finish() && {
  json::object result;
  result["tokens"] = std::move(tokens_);
  result["token_logprobs"] = std::move(token_logprobs_);
  result["top_logprobs"] = std::move(top_logprobs_);
  result["text_offset"] = std::move(text_offset_);
  return result;
}

json::object LogprobsWriter::chat_token(TokenId id, float logprob) const {
  json::array bytes;
  for (const char byte : tokenizer_->token_bytes(id)) bytes.push_back(std::uint8_t(byte));
  json::object result;
  result["token"] = chat_text(id);
  result["logprob"] = finite(logprob);
  result["bytes"] = std::move(bytes);
  return result;
}

json::object LogprobsWriter::chat_entry(const engine::TokenOutput& token, std::int32_t top) const {
  static const engine::TokenLogprobs kNone;
  const engine::TokenLogprobs& logprobs = token.logprobs ? *token.logprobs : kNone;
  json::array alternatives;
  for (std::size_t i = 0; i < count_top(logprobs, std::size_t(top)); ++i)
    alternatives.push_back(chat_token(logprobs.top[i].first, logprobs.top[i].second));
  json::object entry = chat_token(token.id, logprobs.logprob);
  entry["top_logprobs"] = std::move(alternatives);
  return entry;
}

json::array LogprobsWriter::prompt(std::span<const TokenId> ids,
                                   const std::vector<engine::TokenLogprobs>& logprobs,
                                   std::int32_t top) const {
  const auto entry = [this](TokenId id, float logprob, std::int64_t rank) {
    return json::object{
        {"logprob", finite(logprob)}, {"rank", rank}, {"decoded_token", chat_text(id)}};
  };
  json::array result;
  for (std::size_t i = 0; i < std::min(ids.size(), logprobs.size()); ++i) {
    if (i == 0) {
      result.push_back(nullptr);
      continue;
    }
    json::object tokens;
    tokens[std::to_string(ids[i])] = entry(ids[i], logprobs[i].logprob, logprobs[i].rank);
    for (std::size_t k = 0; k < count_top(logprobs[i], std::size_t(top)); ++k)
      tokens.emplace(
          std::to_string(logprobs[i].top[k].first),
          entry(logprobs[i].top[k].first, logprobs[i].top[k].second, std::int64_t(k) + 1));
    result.push_back(std::move(tokens));
  }
  return result;
}

}  // namespace isotope::server
