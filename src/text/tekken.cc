#include "text/tekken.h"

#include <array>
#include <boost/json/array.hpp>
#include <boost/json/monotonic_resource.hpp>

#include "base/file.h"
#include "base/json.h"
#include "text/json_pattern.h"
#include "text/utf8.h"

namespace isotope::text {
namespace {

/// Appends what `base64` (RFC 4648, padded) encodes; false if it is none.
bool append_base64(std::string_view base64, std::string& out) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  static const std::array<std::int8_t, 256> kValues = [&] {
    std::array<std::int8_t, 256> values;
    values.fill(-1);
    for (std::size_t i = 0; i < kDigits.size(); ++i)
      values[std::uint8_t(kDigits[i])] = std::int8_t(i);
    return values;
  }();
  if (base64.size() % 4 != 0) return false;
  for (int padding = 0; padding < 2 && base64.ends_with('='); ++padding) base64.remove_suffix(1);
  std::uint32_t bits = 0;
  int bit_count = 0;
  for (const char digit : base64) {
    const int value = kValues[std::uint8_t(digit)];
    if (value < 0) return false;
    bits = bits << 6 | std::uint32_t(value);
    bit_count += 6;
    if (bit_count < 8) continue;
    bit_count -= 8;
    out += char(bits >> bit_count & 0xFF);
  }
  return true;
}

class TekkenLoader {
 public:
  TekkenLoader(const JsonFields& document, const TokenizerConfig& config)
      : document_(document), config_(config) {}

  TokenizerParts load() {
    const JsonFields settings = document_.child("config");
    const std::int64_t total = settings.integer("default_vocab_size", 257, kMaxTokenId + 1);
    const std::int64_t controls = settings.integer("default_num_special_tokens", 3, total - 256);
    read_control_tokens(controls);
    read_ranks(total - controls);
    build_vocabulary(TokenId(controls));
    parts_.pre_tokenizer =
        PreTokenizer::from_pattern(settings.string("pattern"), settings.name() + ": pattern");
    parts_.model = std::make_unique<RankBpe>(*parts_.vocabulary, TokenId(controls),
                                             document_.name() + ": vocab");
    parts_.bos = control_token(config_.bos_token.value_or("<s>"), "bos_token");
    parts_.eos = control_token(config_.eos_token.value_or("</s>"), "eos_token");
    if (config_.add_bos_token.value_or(true)) parts_.prefix.push_back(*parts_.bos);
    if (config_.add_eos_token.value_or(false)) parts_.suffix.push_back(*parts_.eos);
    parts_.kind = "Tekken";
    return std::move(parts_);
  }

 private:
  void read_control_tokens(std::int64_t count);
  void read_ranks(std::int64_t count);
  void build_vocabulary(TokenId controls);
  TokenId control_token(const std::string& name, std::string_view role) const;

  const JsonFields& document_;
  const TokenizerConfig& config_;
  TokenizerParts parts_;
  StringPool rank_bytes_;
};

void TekkenLoader::read_control_tokens(std::int64_t count) {
  std::vector<AddedToken>& tokens = parts_.added_tokens;
  for (std::int64_t id = 0; id < count; ++id)
    tokens.push_back(
        {TokenId(id), fmt::format("<SPECIAL_{}>", id), false, false, false, false, true});
  std::vector<bool> seen(std::size_t(count), false);
  std::size_t i = 0;
  for (const json::value& value : json_array(document_, "special_tokens")) {
    const JsonFields fields(value, fmt::format("{}: special_tokens[{}]", document_.name(), i++));
    const auto rank = std::size_t(fields.integer("rank", 0, count - 1));
    if (seen[rank]) fields.wrong("rank", *fields.find("rank"), "a rank that no other token has");
    seen[rank] = true;
    tokens[rank].content = fields.string("token_str");
    if (tokens[rank].content.empty())
      fields.wrong("token_str", *fields.find("token_str"), "a string that is not empty");
    tokens[rank].special = fields.boolean("is_control", true);
  }
}

void TekkenLoader::read_ranks(std::int64_t count) {
  const json::array& entries = json_array(document_, "vocab");
  // Files list more ranks than the model has; the first ones count.
  if (std::int64_t(entries.size()) < count)
    fail(ErrorCode::corrupt_data, "{}: 'vocab' has {} entries; the config asks for {}",
         document_.name(), entries.size(), count);
  rank_bytes_.reserve(std::size_t(count), 8 * std::size_t(count));
  std::string bytes;
  for (std::int64_t rank = 0; rank < count; ++rank) {
    const JsonFields fields(entries[std::size_t(rank)],
                            fmt::format("{}: vocab[{}]", document_.name(), rank));
    if (fields.integer("rank", 0, kMaxTokenId) != rank)
      fields.wrong("rank", *fields.find("rank"), fmt::format("{}: ranks in order", rank));
    const json::value* base64 = fields.find("token_bytes");
    if (!base64) fields.missing("token_bytes");
    bytes.clear();
    if (!base64->is_string() || !append_base64(base64->get_string(), bytes) || bytes.empty())
      fields.wrong("token_bytes", *base64, "bytes in base64");
    if (rank < 256 && bytes != std::string(1, char(rank)))
      fields.wrong("token_bytes", *base64, fmt::format("the single byte {}", rank));
    rank_bytes_.append(bytes);
  }
}

void TekkenLoader::build_vocabulary(TokenId controls) {
  std::vector<std::string_view> bytes;
  for (const AddedToken& token : parts_.added_tokens) bytes.push_back(token.content);
  for (std::size_t rank = 0; rank < rank_bytes_.size(); ++rank) bytes.push_back(rank_bytes_[rank]);
  auto vocabulary = std::make_unique<Vocabulary>(bytes);
  for (const std::string_view token : bytes) vocabulary->bytes.append(token);
  for (TokenId id = 0; id < controls; ++id) {
    const AddedToken& token = parts_.added_tokens[std::size_t(id)];
    vocabulary->special[std::size_t(id)] = token.special;
    if (const TokenId other = vocabulary->find(token.content); other != id)
      fail(ErrorCode::corrupt_data, "{}: special_tokens: '{}' has two ranks, {} and {}",
           document_.name(), token.content, other, id);
  }
  parts_.vocabulary = std::move(vocabulary);
}

TokenId TekkenLoader::control_token(const std::string& name, std::string_view role) const {
  const TokenId id = parts_.vocabulary->find(name);
  if (id == kNoToken)
    fail(ErrorCode::corrupt_data, "{}: special_tokens has no '{}', which is to be the {}",
         document_.name(), name, role);
  return id;
}

}  // namespace

TokenizerParts load_tekken(const std::filesystem::path& file, const TokenizerConfig& config) {
  const json::value document = parse_json(read_file(file), file.string(),
                                          json::make_shared_resource<json::monotonic_resource>());
  const JsonFields fields(document, file.string());
  return TekkenLoader(fields, config).load();
}

}  // namespace isotope::text
