#include "text/pipeline_tokenizer.h"

#include "base/error.h"
#include "text/utf8.h"

namespace isotope::text {
namespace {

/// Offsets are 32-bit, and normalization or a prefix may make a text a few times longer.
constexpr std::size_t kMaxTextBytes = std::size_t(128) << 20;

AddedTokenMatcher matcher_for(const std::vector<AddedToken>& tokens, bool normalized,
                              const Normalizer& normalizer) {
  std::vector<AddedToken> chosen;
  for (const AddedToken& token : tokens) {
    if (token.normalized != normalized) continue;
    chosen.push_back(token);
    // Found in normalized text, it must be spelled as normalization leaves it.
    if (normalized) chosen.back().content = normalizer.apply(token.content);
  }
  std::erase_if(chosen, [](const AddedToken& token) { return token.content.empty(); });
  return AddedTokenMatcher(std::move(chosen));
}

}  // namespace

PipelineTokenizer::PipelineTokenizer(TokenizerParts parts)
    : parts_(std::move(parts)),
      raw_tokens_(matcher_for(parts_.added_tokens, false, parts_.normalizer)),
      normalized_tokens_(matcher_for(parts_.added_tokens, true, parts_.normalizer)) {}

std::vector<TokenId> PipelineTokenizer::encode(std::string_view text,
                                               const EncodeOptions& options) const {
  if (text.size() > kMaxTextBytes)
    fail(ErrorCode::invalid_argument, "a text of {} bytes is too long to tokenize; the limit is {}",
         text.size(), kMaxTextBytes);
  const std::string valid = replace_invalid_utf8(text);
  Encoding encoding{options.parse_special_tokens, {}, {}};
  if (options.add_special_tokens) encoding.ids = parts_.prefix;
  if (options.parse_special_tokens) {
    for (const TextSegment& segment : raw_tokens_.split(valid)) {
      if (segment.id != kNoToken)
        encoding.ids.push_back(segment.id);
      else
        encode_raw(view_of(segment.span, valid), segment.span.begin == 0, encoding);
    }
  } else {
    encode_raw(valid, true, encoding);
  }
  if (options.add_special_tokens)
    encoding.ids.insert(encoding.ids.end(), parts_.suffix.begin(), parts_.suffix.end());
  return std::move(encoding.ids);
}

void PipelineTokenizer::encode_raw(std::string_view text, bool at_input_start,
                                   Encoding& encoding) const {
  std::string normalized = parts_.normalizer.apply(std::string(text));
  if (!encoding.parse_added_tokens) {
    encode_normalized(std::move(normalized), at_input_start, encoding);
    return;
  }
  for (const TextSegment& segment : normalized_tokens_.split(normalized)) {
    if (segment.id != kNoToken)
      encoding.ids.push_back(segment.id);
    else
      encode_normalized(std::string(view_of(segment.span, normalized)),
                        at_input_start && segment.span.begin == 0, encoding);
  }
}

void PipelineTokenizer::encode_normalized(std::string text, bool at_input_start,
                                          Encoding& encoding) const {
  const Pieces pieces = parts_.pre_tokenizer.split(std::move(text), at_input_start);
  for (const Span span : pieces.spans)
    parts_.model->append_tokens(view_of(span, pieces.text), encoding.scratch, encoding.ids);
}

std::string_view PipelineTokenizer::token_bytes(TokenId id) const {
  if (!parts_.vocabulary->contains(id)) return {};
  return parts_.vocabulary->bytes[std::size_t(id)];
}

std::string_view PipelineTokenizer::token_text(TokenId id) const {
  if (!parts_.vocabulary->contains(id)) return {};
  return parts_.vocabulary->spelling(id);
}

bool PipelineTokenizer::is_special(TokenId id) const {
  return parts_.vocabulary->contains(id) && parts_.vocabulary->special[std::size_t(id)];
}

std::optional<TokenId> PipelineTokenizer::id_of(std::string_view token) const {
  const TokenId id = parts_.vocabulary->find(token);
  return id == kNoToken ? std::nullopt : std::optional(id);
}

}  // namespace isotope::text
