#include "text/tokenizer.h"

#include "base/error.h"
#include "text/detokenizer.h"
#include "text/hf_tokenizer.h"
#include "text/pipeline_tokenizer.h"
#include "text/tekken.h"
#include "text/tokenizer_config.h"

namespace isotope::text {

std::unique_ptr<Tokenizer> Tokenizer::load(const std::filesystem::path& model_dir) {
  const TokenizerConfig config = TokenizerConfig::load(model_dir);
  const std::filesystem::path hf_file = model_dir / "tokenizer.json";
  if (std::filesystem::exists(hf_file))
    return std::make_unique<PipelineTokenizer>(load_hf_tokenizer(hf_file, config));
  const std::filesystem::path tekken_file = model_dir / "tekken.json";
  if (std::filesystem::exists(tekken_file))
    return std::make_unique<PipelineTokenizer>(load_tekken(tekken_file, config));
  fail(ErrorCode::not_found,
       "{} has neither tokenizer.json nor tekken.json; download one of them into it",
       model_dir.string());
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special_tokens) const {
  Detokenizer detokenizer(*this, skip_special_tokens);
  std::string text;
  for (const TokenId id : ids) text += detokenizer.push(id);
  return text += detokenizer.finish();
}

}  // namespace isotope::text
