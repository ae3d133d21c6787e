#include "text/hf_tokenizer.h"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <utility>

#include "base/file.h"
#include "base/json.h"
#include "text/json_pattern.h"
#include "text/token_decoder.h"

namespace isotope::text {
namespace {

const json::value kNull;

/// Reads one document. The views that it keeps point into the document.
class HfLoader {
 public:
  HfLoader(const JsonFields& document, const TokenizerConfig& config)
      : document_(document), model_(document.child("model")), config_(config) {}

  TokenizerParts load() {
    check_model_type();
    collect_vocabulary();
    collect_added_tokens();
    parts_.normalizer = Normalizer::from_json(component("normalizer"), name("normalizer"));
    parts_.pre_tokenizer =
        PreTokenizer::from_json(component("pre_tokenizer"), name("pre_tokenizer"));
    build_vocabulary();
    build_model();
    if (const json::value* processor = document_.find("post_processor"))
      add_post_processor(JsonFields(*processor, name("post_processor")));
    apply_config();
    parts_.kind = parts_.pre_tokenizer.byte_level() ? "byte-level BPE" : "SentencePiece BPE";
    return std::move(parts_);
  }

 private:
  std::string name(std::string_view field) const {
    return fmt::format("{}: {}", document_.name(), field);
  }
  const json::value& component(std::string_view field) const {
    const json::value* value = document_.find(field);
    return value ? *value : kNull;
  }

  void check_model_type() const;
  void collect_vocabulary();
  void collect_added_tokens();
  AddedToken read_added_token(const JsonFields& fields) const;
  void place(TokenId id, std::string_view spelling, const std::string& what);
  void build_vocabulary();
  void build_model();
  MergeTable read_merges() const;
  std::pair<std::string_view, std::string_view> merge_pair(const json::value& value,
                                                           std::size_t i) const;
  [[noreturn]] void bad_merge(std::size_t i, const json::value& value, std::string_view why) const;
  void add_post_processor(const JsonFields& fields);
  void add_template(const JsonFields& fields);
  void append_template_token(const JsonFields& fields, const json::value& piece,
                             std::vector<TokenId>& out) const;
  void apply_config();
  std::optional<TokenId> config_token(const std::optional<std::string>& token,
                                      std::string_view field) const;

  const JsonFields& document_;
  JsonFields model_;
  const TokenizerConfig& config_;
  TokenizerParts parts_;
  const Vocabulary* vocabulary_ = nullptr;
  std::vector<std::string_view> spellings_;  ///< by id; data() is null where there is no token
};

void HfLoader::check_model_type() const {
  const std::string type = model_.string("type", "BPE");  // old files leave it out
  if (type != "BPE")
    fail(ErrorCode::unsupported, "{}: the model type '{}' is not supported; BPE is", model_.name(),
         type);
  for (const std::string_view affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!model_.string(affix, "").empty())
      fail(ErrorCode::unsupported, "{}: '{}' is \"{}\"; only an empty one is supported",
           model_.name(), affix, model_.string(affix));
  }
  if (model_.number("dropout", 0, 1, 0) != 0)
    fail(ErrorCode::unsupported, "{}: 'dropout' is for training; remove it", model_.name());
}

void HfLoader::place(TokenId id, std::string_view spelling, const std::string& what) {
  if (std::size_t(id) >= spellings_.size()) spellings_.resize(std::size_t(id) + 1);
  std::string_view& slot = spellings_[std::size_t(id)];
  if (slot.data() && slot != spelling)
    fail(ErrorCode::corrupt_data, "{}: the tokens '{}' and '{}' have the same id {}", what, slot,
         spelling, id);
  slot = spelling;
}

void HfLoader::collect_vocabulary() {
  const JsonFields vocabulary = model_.child("vocab");
  spellings_.reserve(vocabulary.object().size() + 4096);
  for (const auto& [spelling, value] : vocabulary.object()) {
    const std::int64_t* id = value.if_int64();
    if (!id || *id < 0 || *id > kMaxTokenId)
      vocabulary.wrong(spelling, value, fmt::format("an integer from 0 to {}", kMaxTokenId));
    place(TokenId(*id), spelling, vocabulary.name());
  }
}

AddedToken HfLoader::read_added_token(const JsonFields& fields) const {
  AddedToken token;
  token.id = TokenId(fields.integer("id", 0, kMaxTokenId));
  token.content = fields.string("content");
  if (token.content.empty())
    fields.wrong("content", *fields.find("content"), "a string that is not empty");
  token.single_word = fields.boolean("single_word", false);
  token.lstrip = fields.boolean("lstrip", false);
  token.rstrip = fields.boolean("rstrip", false);
  token.special = fields.boolean("special", false);
  token.normalized = fields.boolean("normalized", !token.special);
  return token;
}

void HfLoader::collect_added_tokens() {
  if (!document_.has("added_tokens")) return;
  const json::object& vocabulary = model_.child("vocab").object();
  std::size_t i = 0;
  for (const json::value& value : json_array(document_, "added_tokens")) {
    const JsonFields fields(value, fmt::format("{}[{}]", name("added_tokens"), i++));
    const AddedToken token = read_added_token(fields);
    if (const json::value* id = vocabulary.if_contains(token.content); id && *id != token.id)
      fields.wrong("id", *fields.find("id"),
                   fmt::format("{}, the id of '{}' in the vocabulary", brief(*id), token.content));
    // The document's own string lives as long as the views.
    place(token.id, fields.find("content")->get_string(), fields.name());
    parts_.added_tokens.push_back(token);
  }
  std::vector<std::pair<std::string_view, TokenId>> contents;
  for (const AddedToken& token : parts_.added_tokens)
    contents.emplace_back(token.content, token.id);
  std::sort(contents.begin(), contents.end());
  const auto same = std::adjacent_find(contents.begin(), contents.end(),
                                       [](auto& a, auto& b) { return a.first == b.first; });
  if (same != contents.end())
    fail(ErrorCode::corrupt_data, "{}: '{}' appears twice, with the ids {} and {}",
         name("added_tokens"), same->first, same->second, std::next(same)->second);
}

void HfLoader::build_vocabulary() {
  const json::value& decoder_value = component("decoder");
  const TokenDecoder decoder = TokenDecoder::from_json(decoder_value, name("decoder"));
  parts_.strips_leading_space = decoder.strips_leading_space();
  auto vocabulary = std::make_unique<Vocabulary>(spellings_);
  std::vector<bool> is_added(spellings_.size());
  for (const AddedToken& token : parts_.added_tokens) {
    is_added[std::size_t(token.id)] = true;
    vocabulary->special[std::size_t(token.id)] = token.special;
  }
  vocabulary->bytes.reserve(spellings_.size(), 8 * spellings_.size());
  std::string bytes;
  for (std::size_t id = 0; id < spellings_.size(); ++id) {
    bytes.clear();
    decoder.append_bytes(spellings_[id], is_added[id], bytes);
    vocabulary->bytes.append(bytes);
  }
  vocabulary_ = vocabulary.get();
  parts_.vocabulary = std::move(vocabulary);
}

void HfLoader::build_model() {
  MergeListBpe::Options options;
  options.byte_level = parts_.pre_tokenizer.byte_level();
  options.ignore_merges = model_.boolean("ignore_merges", false);
  options.byte_fallback = model_.boolean("byte_fallback", false);
  options.fuse_unk = model_.boolean("fuse_unk", false);
  if (options.byte_level && options.byte_fallback)
    fail(ErrorCode::unsupported,
         "{}: 'byte_fallback' together with a ByteLevel pre-tokenizer is not supported",
         model_.name());
  if (model_.has("unk_token")) {
    options.unk = vocabulary_->find(model_.string("unk_token"));
    if (options.unk == kNoToken)
      model_.wrong("unk_token", *model_.find("unk_token"), "a token of the vocabulary");
  }
  parts_.model = std::make_unique<MergeListBpe>(*vocabulary_, read_merges(), options);
}

void HfLoader::bad_merge(std::size_t i, const json::value& value, std::string_view why) const {
  fail(ErrorCode::corrupt_data, "{}: merges[{}] is {}; {}", model_.name(), i, brief(value), why);
}

std::pair<std::string_view, std::string_view> HfLoader::merge_pair(const json::value& value,
                                                                   std::size_t i) const {
  if (const json::string* text = value.if_string()) {
    const std::string_view both = *text;
    const std::size_t space = both.find(' ');
    if (space != std::string_view::npos && both.find(' ', space + 1) == std::string_view::npos)
      return {both.substr(0, space), both.substr(space + 1)};
  } else if (const json::array* pair = value.if_array();
             pair && pair->size() == 2 && (*pair)[0].is_string() && (*pair)[1].is_string()) {
    return {(*pair)[0].get_string(), (*pair)[1].get_string()};
  }
  bad_merge(i, value, "expected two tokens, as \"a b\" or [\"a\", \"b\"]");
}

MergeTable HfLoader::read_merges() const {
  const json::array& merges = json_array(model_, "merges");
  MergeTable table(merges.size());
  std::string joined;
  for (std::size_t i = 0; i < merges.size(); ++i) {
    const auto [left, right] = merge_pair(merges[i], i);
    joined.assign(left).append(right);
    std::array<TokenId, 3> ids;
    const std::array<std::string_view, 3> tokens{left, right, joined};
    for (std::size_t k = 0; k < 3; ++k) {
      ids[k] = vocabulary_->find(tokens[k]);
      if (ids[k] == kNoToken)
        bad_merge(i, merges[i], fmt::format("'{}' is not in the vocabulary", tokens[k]));
    }
    table.insert(ids[0], ids[1], {std::int32_t(i), ids[2]});
  }
  return table;
}

void HfLoader::add_post_processor(const JsonFields& fields) {
  const std::string type = fields.string("type");
  if (type == "Sequence") {
    for (const json::value& processor : json_array(fields, "processors"))
      add_post_processor(JsonFields(processor, fields.name()));
  } else if (type == "TemplateProcessing") {
    add_template(fields);
  } else if (type != "ByteLevel") {  // ByteLevel concerns offsets only
    fail(ErrorCode::unsupported,
         "{}: the post-processor type '{}' is not supported; known are Sequence, ByteLevel and "
         "TemplateProcessing",
         fields.name(), type);
  }
}

void HfLoader::add_template(const JsonFields& fields) {
  std::vector<TokenId> before;
  std::vector<TokenId> after;
  bool sequence_seen = false;
  for (const json::value& piece : json_array(fields, "single")) {
    const JsonFields entry(piece, fields.name() + ": single");
    if (entry.has("Sequence")) {
      if (sequence_seen)
        fail(ErrorCode::unsupported, "{}: more than one Sequence is not supported", entry.name());
      sequence_seen = true;
    } else {
      append_template_token(fields, piece, sequence_seen ? after : before);
    }
  }
  parts_.prefix.insert(parts_.prefix.begin(), before.begin(), before.end());
  parts_.suffix.insert(parts_.suffix.end(), after.begin(), after.end());
}

void HfLoader::append_template_token(const JsonFields& fields, const json::value& piece,
                                     std::vector<TokenId>& out) const {
  const std::string token =
      JsonFields(piece, fields.name() + ": single").child("SpecialToken").string("id");
  const JsonFields entry = fields.child("special_tokens").child(token);
  for (const json::value& id : json_array(entry, "ids")) {
    const std::int64_t* number = id.if_int64();
    if (!number || *number < 0 || *number >= vocabulary_->size())
      entry.wrong("ids", id, "ids of tokens");
    out.push_back(TokenId(*number));
  }
}

std::optional<TokenId> HfLoader::config_token(const std::optional<std::string>& token,
                                              std::string_view field) const {
  if (!token) return std::nullopt;
  const TokenId id = vocabulary_->find(*token);
  if (id == kNoToken)
    fail(ErrorCode::corrupt_data, "tokenizer_config.json: '{}' is \"{}\", which {} does not have",
         field, *token, document_.name());
  return id;
}

/// What tokenizer_config.json says about BOS and EOS wins over the post-processor, as in
/// transformers.
void HfLoader::apply_config() {
  parts_.bos = config_token(config_.bos_token, "bos_token");
  parts_.eos = config_token(config_.eos_token, "eos_token");
  if (parts_.bos && config_.add_bos_token) {
    const bool present = !parts_.prefix.empty() && parts_.prefix.front() == *parts_.bos;
    if (*config_.add_bos_token && !present)
      parts_.prefix.insert(parts_.prefix.begin(), *parts_.bos);
    if (!*config_.add_bos_token && present) parts_.prefix.erase(parts_.prefix.begin());
  }
  if (parts_.eos && config_.add_eos_token) {
    const bool present = !parts_.suffix.empty() && parts_.suffix.back() == *parts_.eos;
    if (*config_.add_eos_token && !present) parts_.suffix.push_back(*parts_.eos);
    if (!*config_.add_eos_token && present) parts_.suffix.pop_back();
  }
}

}  // namespace

TokenizerParts load_hf_tokenizer(const std::filesystem::path& file, const TokenizerConfig& config) {
  const json::value document = parse_json(read_file(file), file.string(),
                                          json::make_shared_resource<json::monotonic_resource>());
  const JsonFields fields(document, file.string());
  return HfLoader(fields, config).load();
}

}  // namespace isotope::text
