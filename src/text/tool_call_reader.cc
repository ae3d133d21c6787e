#include "text/tool_call_reader.h"

#include <algorithm>
#include <boost/json/string.hpp>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "text/json_span.h"

namespace isotope::text {
namespace {

bool is_name_byte(char c) {
  return static_cast<unsigned char>(c) > 0x20 && c != 0x7f &&
         std::string_view("\"'`{}[]()<>,").find(c) == std::string_view::npos;
}

/// The arguments of a call: one JSON object. If it breaks, all that follows belongs to it until a
/// marker or the end, so that nothing is lost and nothing has to be taken back.
class ArgumentsObject {
 public:
  enum class Step { inside, last };
  Step push(char c) {
    if (broken_) return Step::inside;
    const JsonSpan::Step step = span_.push(c);
    if (step == JsonSpan::Step::broken) broken_ = true;
    return step == JsonSpan::Step::last ? Step::last : Step::inside;
  }
  /// A marker here is characters of a string.
  bool in_string() const { return !broken_ && span_.in_string(); }

 private:
  JsonSpan span_;
  bool broken_ = false;
};

/// {"name": "f", "arguments": {…}}, then </tool_call>. The members may come in any order,
/// "parameters" stands for "arguments", others are skipped; without arguments, or if they are null,
/// they are {}.
class HermesReader final : public ToolCallReader {
 public:
  bool push_marker(const MarkerSpelling& marker) override {
    if (in_string()) {
      push(marker.text);
      return true;
    }
    const bool closes = state_ == State::call && marker.marker == Marker::call_close;
    cut_ = state_ == State::call && place_ == Place::arguments;
    leave();
    return closes;
  }

  void finish(bool) override {
    cut_ = state_ == State::call && place_ == Place::arguments;
    leave();
  }

 private:
  enum class Place {
    before_object,
    before_key,
    key,
    before_colon,
    before_value,
    name,
    arguments,
    other,
    after_value,
    after_object,
  };

  bool in_string() const {
    return place_ == Place::arguments ? object_.in_string() : span_.in_string();
  }

  bool step(char c) override {
    switch (place_) {
      case Place::key:
        return read_string(c, Place::before_colon);
      case Place::name:
        return read_string(c, Place::after_value) && (place_ == Place::name || set_name());
      case Place::arguments:
        return read_arguments(c);
      case Place::other:
        return skip_value(c);
      default:
        return is_json_space(c) || read_punctuation(c);
    }
  }

  bool read_punctuation(char c) {
    switch (place_) {
      case Place::before_object:
        return c == '{' ? go(Place::before_key) : leave();
      case Place::before_key:
        if (c == '}') return close_object();
        if (c != '"') return leave();
        return begin_value(c, Place::key);
      case Place::before_colon:
        return c == ':' ? go(Place::before_value) : leave();
      case Place::before_value:
        return begin_member(c);
      case Place::after_value:
        if (c == '}') return close_object();
        return c == ',' ? go(Place::before_key) : leave();
      default:
        return leave();  // behind the object: text that does not belong to the call
    }
  }

  bool go(Place place) {
    place_ = place;
    return true;
  }

  bool begin_value(char c, Place place) {
    span_ = JsonSpan();
    token_ = c;
    return span_.push(c) == JsonSpan::Step::broken ? leave() : go(place);
  }

  bool begin_member(char c) {
    const std::string key = decoded(token_);
    if (state_ == State::head && key == "name")
      return c == '"' ? begin_value(c, Place::name) : leave();
    if (state_ == State::head && (key == "arguments" || key == "parameters")) {
      // null is skipped, as is every value of another member.
      if (c == 'n') return begin_value(c, Place::other);
      if (c != '{') return leave();
      object_ = {};
      early_arguments_.clear();
      if (!name_.empty()) state_ = State::call;
      place_ = Place::arguments;
      return read_arguments(c);
    }
    return begin_value(c, Place::other);
  }

  bool read_string(char c, Place next) {
    token_ += c;
    const JsonSpan::Step step = span_.push(c);
    if (step == JsonSpan::Step::broken) return leave();
    if (step == JsonSpan::Step::last) place_ = next;
    return true;
  }

  bool set_name() {
    name_ = decoded(token_);
    if (!is_function_name(name_)) return leave();
    if (early_arguments_.empty()) return true;
    state_ = State::call;
    arguments_ = std::move(early_arguments_);
    return true;
  }

  bool read_arguments(char c) {
    (state_ == State::call ? arguments_ : early_arguments_) += c;
    if (object_.push(c) == ArgumentsObject::Step::last) place_ = Place::after_value;
    return true;
  }

  bool skip_value(char c) {
    switch (span_.push(c)) {
      case JsonSpan::Step::inside:
        return true;
      case JsonSpan::Step::last:
        return go(Place::after_value);
      case JsonSpan::Step::past:
        place_ = Place::after_value;
        return step(c);
      default:
        return leave();
    }
  }

  bool close_object() {
    if (name_.empty()) return leave();
    if (state_ == State::head) {
      state_ = State::call;
      arguments_ = "{}";
    }
    return go(Place::after_object);
  }

  /// What a JSON string says; empty if it is none.
  static std::string decoded(std::string_view token) {
    try {
      return std::string(parse_json(token, "tool call").as_string());
    } catch (const Error&) {
      return {};
    }
  }

  Place place_ = Place::before_object;
  JsonSpan span_;
  ArgumentsObject object_;
  std::string token_;            // the key or name being read
  std::string early_arguments_;  // that came before the name
};

/// name[ARGS]{…}, or name{…} as earlier versions had it.
class MistralReader final : public ToolCallReader {
 public:
  bool push_marker(const MarkerSpelling& marker) override {
    if (place_ == Place::arguments && object_.in_string()) {
      push(marker.text);
      return true;
    }
    if (place_ == Place::name && marker.marker == Marker::call_arguments && !name_.empty()) {
      place_ = Place::before_arguments;
      return true;
    }
    end(true);
    return false;
  }

  void finish(bool by_model) override { end(by_model); }

 private:
  enum class Place { name, before_arguments, arguments, after_arguments };

  bool step(char c) override {
    switch (place_) {
      case Place::name:
        if (c == '{' && !name_.empty()) return begin_arguments(c);
        if (!is_name_byte(c) || name_.size() == kMaxFunctionName) return leave();
        name_ += c;
        return true;
      case Place::before_arguments:
        if (c == '{') return begin_arguments(c);
        return is_json_space(c) || leave();
      case Place::arguments:
        arguments_ += c;
        if (object_.push(c) == ArgumentsObject::Step::last) place_ = Place::after_arguments;
        return true;
      default:
        return is_json_space(c) || leave();
    }
  }

  bool begin_arguments(char c) {
    state_ = State::call;
    place_ = Place::arguments;
    return step(c);
  }

  /// At another marker or the answer's end. `complete`: the model has chosen to end here.
  void end(bool complete) {
    cut_ = place_ == Place::arguments || (place_ == Place::before_arguments && !complete);
    if (place_ == Place::before_arguments) {
      state_ = State::call;
      if (complete) arguments_ = "{}";
    }
    leave();
  }

  Place place_ = Place::name;
  ArgumentsObject object_;
};

}  // namespace

bool is_function_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxFunctionName &&
         std::all_of(name.begin(), name.end(), is_name_byte);
}

std::unique_ptr<ToolCallReader> ToolCallReader::make(ToolCallSyntax syntax) {
  if (syntax == ToolCallSyntax::mistral) return std::make_unique<MistralReader>();
  return std::make_unique<HermesReader>();
}

std::size_t ToolCallReader::push(std::string_view text) {
  std::size_t read = 0;
  while (read < text.size() && step(text[read])) ++read;
  return read;
}

std::string ToolCallReader::take_arguments() { return std::exchange(arguments_, {}); }

bool ToolCallReader::leave() {
  state_ = state_ == State::call ? State::ended : State::malformed;
  return false;
}

}  // namespace isotope::text
