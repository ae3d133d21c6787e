#include "server/block_exchange.h"

#include <boost/json/serialize.hpp>
#include <utility>

namespace isotope::server {
namespace {

using Kind = text::AnswerDelta::Kind;

Block::Kind kind_of(Kind delta) {
  if (delta == Kind::reasoning) return Block::Kind::reasoning;
  return delta == Kind::content ? Block::Kind::text : Block::Kind::call;
}

}  // namespace

BlockExchange::BlockExchange(ServedModel& model, const AnswerFields& fields, std::string id,
                             std::vector<TokenId> prompt)
    : GenerationExchange(model, fields, std::move(id)) {
  add_prompt(std::move(prompt));
}

bool BlockExchange::continues(const text::AnswerDelta& delta) const {
  return delta.kind != Kind::call && !blocks_.empty() && blocks_.back().kind == kind_of(delta.kind);
}

void BlockExchange::write_piece(Choice&, std::int64_t, Piece piece, std::string& out) {
  note_tokens(piece.tokens);
  for (text::AnswerDelta& delta : piece.deltas) {
    if (!continues(delta)) {
      close_block(out);
      Block block{.kind = kind_of(delta.kind), .call_id = {}, .name = {}, .text = {}};
      if (delta.kind == Kind::call) {
        block.call_id = std::move(delta.id);
        block.name = std::exchange(delta.text, {});
      }
      blocks_.push_back(std::move(block));
      begin_block(out);
    }
    if (delta.text.empty()) continue;
    blocks_.back().text += delta.text;
    extend_block(delta.text, out);
  }
}

void BlockExchange::close_block(std::string& out) {
  if (!blocks_.empty()) end_block(out);
}

void BlockExchange::write_end(std::string& out) {
  close_block(out);
  end_answer(out);
}

/// On the way that streams take, so that both tell the same; but nobody sees the events.
json::object BlockExchange::whole() {
  std::string unseen;
  Choice& choice = choices_.front();
  write_piece(choice, 0, std::move(choice.whole), unseen);
  close_block(unseen);
  return answer();
}

void BlockExchange::append_event(std::string_view type, json::object event, std::string& out) {
  json::object data{{"type", type}};
  for (auto& [name, value] : event) data[name] = std::move(value);
  out += fmt::format("event: {}\ndata: {}\n\n", type, json::serialize(data));
}

}  // namespace isotope::server
