#include "text/jinja_runtime.h"

#include <algorithm>

namespace isotope::text::jinja {

namespace {
// What the allocator and the control block add to an allocation, about.
constexpr std::size_t kAllocationBytes = 48;
}  // namespace

Charge::~Charge() {
  if (runtime_) runtime_->release(bytes_);
}

void Runtime::charge(std::size_t bytes) {
  if (bytes > limits_.memory_bytes - std::min(limits_.memory_bytes, bytes_in_use_))
    fail("the template's values need more than the memory limit of {} bytes", limits_.memory_bytes);
  bytes_in_use_ += bytes;
}

void Runtime::check_count(std::size_t elements) {
  if (elements > limits_.memory_bytes / sizeof(Value))
    fail("{} elements at once need more than the memory limit of {} bytes", elements,
         limits_.memory_bytes);
}

Value Runtime::text(std::string text, bool markup) {
  check_text_size(text.size());
  work(text.size());
  const std::size_t bytes = text.capacity() + sizeof(Text) + kAllocationBytes;
  charge(bytes);
  return Value(std::make_shared<const Text>(std::move(text), markup, this, bytes));
}

int Runtime::container_depth(int deepest_element) const {
  // Comparing, printing and destroying a value recurse as deep as it is nested.
  constexpr int kDeepest = 200;
  if (deepest_element >= kDeepest) fail("a value is nested more than {} deep", kDeepest);
  return deepest_element + 1;
}

namespace {
int depth_of(const Value& value) {
  if (value.is_sequence()) return value.as_sequence().depth;
  if (value.is_mapping()) return value.as_mapping().depth;
  return 0;
}
}  // namespace

Value Runtime::list(std::vector<Value> items, Sequence::Kind kind, std::string label) {
  check_count(items.size());
  work(items.size() * sizeof(Value));
  int deepest = 0;
  for (const Value& item : items) deepest = std::max(deepest, depth_of(item));
  const std::size_t bytes = items.capacity() * sizeof(Value) + sizeof(Sequence) + kAllocationBytes;
  const int depth = container_depth(deepest);
  charge(bytes);
  return Value(std::make_shared<const Sequence>(std::move(items), kind, std::move(label), depth,
                                                this, bytes));
}

Value Runtime::pair(Value first, Value second) {
  std::vector<Value> items;
  items.reserve(2);
  items.push_back(std::move(first));
  items.push_back(std::move(second));
  return list(std::move(items), Sequence::Kind::tuple);
}

Value Runtime::mapping(MappingBuilder&& builder) {
  int deepest = 0;
  for (const auto& [key, value] : builder.entries_)
    deepest = std::max({deepest, depth_of(key), depth_of(value)});
  const std::size_t bytes = builder.entries_.capacity() * 2 * sizeof(Value) +
                            builder.index_.size() * kAllocationBytes + sizeof(Mapping) +
                            kAllocationBytes;
  const int depth = container_depth(deepest);
  charge(bytes);
  return Value(std::make_shared<const Mapping>(std::move(builder), depth, this, bytes));
}

Value Runtime::undefined(std::string hint) {
  return Value(std::make_shared<const std::string>(std::move(hint)));
}

void Runtime::fail_with(const std::string& message) const {
  isotope::fail(ErrorCode::invalid_argument, "{}, line {}: {}", template_name_, line_, message);
}

void Runtime::fail_undefined(const Value& value) const {
  const std::string_view hint = value.hint();
  fail("{}", hint.empty() ? std::string_view("the value is undefined") : hint);
}

void Runtime::out_of_steps() const {
  fail("the template takes more than the limit of {} steps", limits_.steps);
}

void Runtime::text_too_long(std::size_t bytes) const {
  fail("a text of {} bytes exceeds the limit of {} bytes", bytes, limits_.output_bytes);
}

void Runtime::too_deep() const {
  fail("calls and expressions are nested too deep (the limit is {} calls)", limits_.depth);
}

}  // namespace isotope::text::jinja
