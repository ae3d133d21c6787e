#include "text/answer_parser.h"

#include <algorithm>
#include <utility>

#include "text/marker_scanner.h"
#include "text/tool_call_reader.h"

namespace isotope::text {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

bool is_space(std::string_view text) {
  return text.find_first_not_of(kSpace) == std::string_view::npos;
}

/// `text` up to its last character that is none of `edge`; the rest goes to `held`.
std::string_view cut_end(std::string_view text, std::string_view edge, std::string& held) {
  const std::size_t end = text.find_last_not_of(edge) + 1;  // npos + 1 is 0
  held = text.substr(end);
  return text.substr(0, end);
}

void cut_begin(std::string_view& text, std::string_view edge) {
  text.remove_prefix(std::min(text.find_first_not_of(edge), text.size()));
}

}  // namespace

void ParsedAnswer::add(const AnswerDelta& delta) {
  switch (delta.kind) {
    case AnswerDelta::Kind::reasoning:
      reasoning += delta.text;
      break;
    case AnswerDelta::Kind::content:
      content += delta.text;
      break;
    case AnswerDelta::Kind::call:
      calls.push_back({.id = delta.id, .name = delta.text, .arguments = {}});
      break;
    case AnswerDelta::Kind::arguments:
      calls.at(delta.call).arguments += delta.text;
      break;
  }
}

AnswerParser::AnswerParser(const AnswerFormat& format, std::function<std::string()> new_call_id)
    : format_(format),
      new_call_id_(std::move(new_call_id)),
      markers_(marker_spellings(format.reasoning, format.tool_calls)),
      phase_(Phase::content),
      may_open_(format.reasoning != ReasoningSyntax::none) {
  if (!format.markers_are_tokens && !markers_.empty()) scanner_ = std::make_unique<MarkerScanner>();
  if (!may_open_ || format.start == AnswerFormat::Start::content) return;
  open_reasoning(0);
  may_open_ = true;  // some models repeat what the prompt has opened
  opening_missing_ = format.start == AnswerFormat::Start::expected;
}

AnswerParser::~AnswerParser() = default;
AnswerParser::AnswerParser(AnswerParser&&) noexcept = default;
AnswerParser& AnswerParser::operator=(AnswerParser&&) noexcept = default;

void AnswerParser::push(std::string_view text, AnswerDeltas& out) {
  if (!scanner_) {
    decided_ += text.size();
    on_text(text, out);
    return;
  }
  for (const MarkerScanner::Part& part : scanner_->push(text, markers_)) {
    decided_ += part.text.size();
    if (part.marker) {
      on_marker({*part.marker, part.text}, out);
    } else {
      on_text(part.text, out);
    }
  }
}

void AnswerParser::push_marker(std::string_view spelling, AnswerDeltas& out) {
  decided_ += spelling.size();
  for (const MarkerSpelling& marker : markers_)
    if (marker.text == spelling) return on_marker(marker, out);
  on_text(spelling, out);
}

void AnswerParser::finish(bool by_model, AnswerDeltas& out) {
  if (scanner_) {
    const std::string rest = scanner_->finish();
    decided_ += rest.size();
    on_text(rest, out);
  }
  if (phase_ == Phase::call) {
    reader_->finish(by_model);
    follow_call(out);
  }
  // White space at the end is the answer's own, unless it stands at the edge of markup.
  if (phase_ == Phase::content && !after_call_) emit(AnswerDelta::Kind::content, held_, 0, out);
  held_.clear();
}

bool AnswerParser::is_reasoning(std::size_t position) const {
  return std::count_if(edges_.begin(), edges_.end(),
                       [position](std::size_t edge) { return edge <= position; }) %
             2 ==
         1;
}

void AnswerParser::on_text(std::string_view text, AnswerDeltas& out) {
  while (!text.empty()) {
    if (phase_ == Phase::call) {
      const std::size_t read = reader_->push(text);
      if (!call_begun_) call_text_ += text.substr(0, read);
      follow_call(out);
      text.remove_prefix(read);
    } else if (phase_ == Phase::reasoning) {
      return add_reasoning(text, out);
    } else if (phase_ == Phase::content) {
      return add_content(text, out);
    } else {
      return;
    }
  }
}

void AnswerParser::on_marker(const MarkerSpelling& marker, AnswerDeltas& out) {
  const bool mistral = format_.reasoning == ReasoningSyntax::mistral;
  if (phase_ == Phase::call) {
    const bool read = reader_->push_marker(marker);
    if (read && !call_begun_) call_text_ += marker.text;
    follow_call(out);
    if (read) return;
  }
  if (phase_ == Phase::reasoning) {
    if (marker.marker == Marker::reasoning_close) return close_reasoning(decided_);
    if (marker.marker == Marker::reasoning_open && may_open_) {
      opening_missing_ = may_open_ = false;
      held_.clear();
      return;
    }
    // Mistral's are control tokens, which nobody quotes.
    if (marker.marker != Marker::call_open || !(mistral || opening_missing_))
      return add_reasoning(marker.text, out);
    close_reasoning(decided_ - marker.text.size());
  }
  if (phase_ == Phase::over) return;
  if (marker.marker == Marker::call_open && format_.single_call && calls_ > 0) {
    phase_ = Phase::over;
  } else if (marker.marker == Marker::call_open) {
    open_call(marker.text);
  } else if (marker.marker == Marker::reasoning_open && (may_open_ || mistral)) {
    if (!may_open_ && !after_call_) emit(AnswerDelta::Kind::content, held_, 0, out);
    open_reasoning(decided_ - marker.text.size());
  } else {
    add_content(marker.text, out);
  }
}

void AnswerParser::open_reasoning(std::size_t begin) {
  edges_.push_back(begin);
  phase_ = Phase::reasoning;
  held_.clear();
  may_open_ = opening_missing_ = after_call_ = false;
  skip_newlines_ = format_.reasoning == ReasoningSyntax::qwen3;
}

void AnswerParser::close_reasoning(std::size_t end) {
  edges_.push_back(end);
  phase_ = Phase::content;
  held_.clear();
  may_open_ = opening_missing_ = false;
  skip_newlines_ = format_.reasoning == ReasoningSyntax::qwen3;
}

void AnswerParser::add_reasoning(std::string_view text, AnswerDeltas& out) {
  if (skip_newlines_) cut_begin(text, "\n");
  if (text.empty()) return;
  skip_newlines_ = false;
  const std::string all = held_ + std::string(text);
  may_open_ = may_open_ && is_space(all);
  const bool qwen3 = format_.reasoning == ReasoningSyntax::qwen3;
  const std::string_view edge = may_open_ ? kSpace : qwen3 ? "\n" : "";
  const std::string_view shown = cut_end(all, edge, held_);
  if (format_.show_reasoning) emit(AnswerDelta::Kind::reasoning, shown, 0, out);
}

void AnswerParser::add_content(std::string_view text, AnswerDeltas& out) {
  if (skip_newlines_) cut_begin(text, "\n");
  if (text.empty()) return;
  skip_newlines_ = false;
  const std::string all = held_ + std::string(text);
  may_open_ = may_open_ && is_space(all);
  const bool edge_matters = may_open_ || format_.tool_calls != ToolCallSyntax::none;
  std::string_view shown = cut_end(all, edge_matters ? kSpace : "", held_);
  if (shown.empty()) return;
  if (after_call_ && !any_content_) cut_begin(shown, kSpace);
  any_content_ = true;
  after_call_ = false;
  emit(AnswerDelta::Kind::content, shown, 0, out);
}

void AnswerParser::open_call(std::string_view spelling) {
  call_text_ = std::exchange(held_, {});
  call_text_ += spelling;
  reader_ = ToolCallReader::make(format_.tool_calls);
  phase_ = Phase::call;
  call_begun_ = false;
}

void AnswerParser::follow_call(AnswerDeltas& out) {
  using State = ToolCallReader::State;
  const State state = reader_->state();
  if (!call_begun_ && (state == State::call || state == State::ended)) {
    out.push_back({.kind = AnswerDelta::Kind::call,
                   .text = reader_->name(),
                   .call = calls_++,
                   .id = new_call_id_ ? new_call_id_() : std::string()});
    call_begun_ = true;
    call_text_.clear();
  }
  if (call_begun_) emit(AnswerDelta::Kind::arguments, reader_->take_arguments(), calls_ - 1, out);
  if (state == State::head || state == State::call) return;
  phase_ = Phase::content;
  cut_call_ = cut_call_ || reader_->cut();
  reader_.reset();
  if (state == State::malformed) return add_content(std::exchange(call_text_, {}), out);
  after_call_ = true;
  may_open_ = skip_newlines_ = false;
}

void AnswerParser::emit(AnswerDelta::Kind kind, std::string_view text, std::size_t call,
                        AnswerDeltas& out) {
  if (text.empty()) return;
  if (out.empty() || out.back().kind != kind || out.back().call != call)
    out.push_back({.kind = kind, .call = call});
  out.back().text += text;
}

}  // namespace isotope::text
