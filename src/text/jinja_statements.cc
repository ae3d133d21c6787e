// What the tags do.
#include "text/jinja_evaluator.h"
#include "text/jinja_operations.h"

namespace isotope::text::jinja {

Flow Evaluator::run(const Body& body, Output& out) {
  for (const auto& statement : body) {
    runtime.step();
    runtime.set_line(statement->line);
    const Runtime::Nested nested(runtime);
    const Flow flow = statement->execute(*this, out);
    if (flow != Flow::next) return flow;
  }
  return Flow::next;
}

Flow Evaluator::run_scoped(const Body& body, Output& out) {
  const InScope in_scope(*this, inner_scope());
  return run(body, out);
}

Flow Data::execute(Evaluator&, Output& out) const {
  out.append(text);
  return Flow::next;
}

Flow Print::execute(Evaluator& evaluator, Output& out) const {
  const Value printed = evaluator.evaluate(*value);
  if (printed.is_text())
    out.append(printed.as_text());
  else
    out.append(to_text(evaluator.runtime, printed));
  return Flow::next;
}

Flow If::execute(Evaluator& evaluator, Output& out) const {
  for (const auto& [condition, body] : branches) {
    if (truthy(evaluator.evaluate(*condition))) return evaluator.run(body, out);
  }
  return evaluator.run(otherwise, out);
}

Flow Set::execute(Evaluator& evaluator, Output&) const {
  evaluator.assign(target, evaluator.evaluate(*value));
  return Flow::next;
}

Flow SetBlock::execute(Evaluator& evaluator, Output&) const {
  Output text(evaluator.runtime);
  const Flow flow = evaluator.run_scoped(body, text);
  if (flow == Flow::next) evaluator.assign(target, evaluator.follow(text.value(), filters));
  return flow;
}

Flow With::execute(Evaluator& evaluator, Output& out) const {
  std::vector<Value> values;
  for (const auto& [target, value] : assignments) values.push_back(evaluator.evaluate(*value));
  const Evaluator::InScope in_scope(evaluator, evaluator.inner_scope());
  for (std::size_t i = 0; i < values.size(); ++i)
    evaluator.assign(assignments[i].first, std::move(values[i]));
  return evaluator.run(body, out);
}

Flow Macro::execute(Evaluator& evaluator, Output&) const {
  evaluator.scope()->set(definition.name, evaluator.runtime.create<MacroObject>(
                                              evaluator, definition, evaluator.scope()));
  return Flow::next;
}

Flow CallBlock::execute(Evaluator& evaluator, Output& out) const {
  Value body = evaluator.runtime.create<MacroObject>(evaluator, caller, evaluator.scope());
  const Value printed = evaluator.call_with_caller(*call, std::move(body));
  out.append(to_text(evaluator.runtime, printed));
  return Flow::next;
}

Flow FilterBlock::execute(Evaluator& evaluator, Output& out) const {
  Output text(evaluator.runtime);
  const Flow flow = evaluator.run_scoped(body, text);
  if (flow == Flow::next)
    out.append(to_text(evaluator.runtime, evaluator.follow(text.value(), filters)));
  return flow;
}

Flow Generation::execute(Evaluator& evaluator, Output& out) const {
  return evaluator.run_scoped(body, out);
}

Flow LoopControl::execute(Evaluator&, Output&) const { return flow; }

namespace {

/// The items for which the loop's own condition holds.
std::shared_ptr<const Sequence> selected(Evaluator& evaluator, const For& loop,
                                         const std::shared_ptr<const Sequence>& items) {
  if (!loop.condition) return items;
  const Evaluator::InScope in_scope(evaluator, evaluator.inner_scope());
  std::vector<Value> result;
  for (const Value& item : items->items) {
    evaluator.assign(loop.target, item);
    if (truthy(evaluator.evaluate(*loop.condition))) result.push_back(item);
  }
  return evaluator.runtime.list(std::move(result)).shared_sequence();
}

}  // namespace

void run_loop(Evaluator& evaluator, const For& loop, const Value& over, int depth, Output& out) {
  const auto items = selected(evaluator, loop, iterate(evaluator.runtime, over));
  const Value object =
      evaluator.runtime.create<LoopObject>(evaluator, loop, evaluator.scope(), items, depth);
  if (!static_cast<LoopObject&>(object.as_object()).run(out))
    evaluator.run_scoped(loop.otherwise, out);
}

Flow For::execute(Evaluator& evaluator, Output& out) const {
  run_loop(evaluator, *this, evaluator.evaluate(*items), 1, out);
  return Flow::next;
}

bool LoopObject::run(Output& out) {
  const Evaluator::InScope in_scope(evaluator_, evaluator_.inner_scope());
  Scope& scope = *evaluator_.scope();
  bool completed = false;
  for (index_ = 0; index_ < items_->items.size(); ++index_) {
    scope.clear();
    scope.set("loop", Value::object(this));
    evaluator_.assign(statement_.target, items_->items[index_]);
    const Flow flow = evaluator_.run(statement_.body, out);
    completed = completed || flow == Flow::next;
    if (flow == Flow::break_loop) break;
  }
  return completed;
}

std::string LoopObject::description(Runtime&) const {
  return fmt::format("<LoopContext {}/{}>", index_ + 1, items_->items.size());
}

}  // namespace isotope::text::jinja
