// What one rendering may use, what it has used, and the objects that live as long as it does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "text/chat_template.h"
#include "text/jinja_value.h"

namespace isotope::text::jinja {

/// The meter and the heap of one rendering. Everything that can take time or memory passes through
/// it, so a hostile template ends with an Error instead of exhausting the process. Not for use by
/// two threads at once.
class Runtime {
 public:
  Runtime(std::string_view template_name, const TemplateLimits& limits)
      : template_name_(template_name), limits_(limits), steps_left_(limits.steps) {}
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  /// Where evaluation is: errors name this line.
  void set_line(int line) { line_ = line; }

  void step(std::int64_t count = 1) {
    if ((steps_left_ -= count) < 0) out_of_steps();
  }
  /// Work on `bytes` of text, or on as many bytes of values: a step for every 128 of them.
  void work(std::size_t bytes) { step(1 + std::int64_t(bytes / 128)); }
  /// Call before building a text of this size.
  void check_text_size(std::size_t bytes) {
    if (bytes > limits_.output_bytes) text_too_long(bytes);
  }
  /// Call before building a sequence or mapping of this size.
  void check_count(std::size_t elements);

  Value text(std::string text, bool markup = false);
  Value list(std::vector<Value> items, Sequence::Kind kind = Sequence::Kind::list,
             std::string label = {});
  Value pair(Value first, Value second);
  Value mapping(MappingBuilder&& builder);
  Value undefined(std::string hint);

  /// An object that lives until the end of the rendering. Objects refer to one another freely (a
  /// namespace may hold itself), which reference counting would never release.
  template <typename T, typename... Args>
  Value create(Args&&... args) {
    charge(sizeof(T) + 64);
    objects_.push_back(std::make_unique<T>(std::forward<Args>(args)...));
    return Value::object(objects_.back().get());
  }

  /// Counts a nested expression, statement or call while it is alive.
  class Nested {
   public:
    explicit Nested(Runtime& runtime, int weight = 1) : runtime_(runtime), weight_(weight) {
      if (runtime_.depth_ + weight_ > runtime_.limits_.depth * kLevelsPerCall) runtime_.too_deep();
      runtime_.depth_ += weight_;
    }
    ~Nested() { runtime_.depth_ -= weight_; }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;

   private:
    Runtime& runtime_;
    int weight_;
  };
  /// A macro that calls itself from a loop or a condition walks through about ten nested statements
  /// and expressions each time; TemplateLimits::depth counts calls.
  static constexpr int kLevelsPerCall = 10;

  /// An Error (invalid_argument) that begins with the template's name and the line.
  template <typename... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    fail_with(fmt::format(format, std::forward<Args>(args)...));
  }
  [[noreturn]] void fail_with(const std::string& message) const;
  /// For an operation that an undefined value does not allow.
  [[noreturn]] void fail_undefined(const Value& value) const;

  void charge(std::size_t bytes);
  void release(std::size_t bytes) noexcept { bytes_in_use_ -= bytes; }

 private:
  [[noreturn]] void out_of_steps() const;
  [[noreturn]] void text_too_long(std::size_t bytes) const;
  [[noreturn]] void too_deep() const;
  int container_depth(int deepest_element) const;

  std::string template_name_;
  TemplateLimits limits_;
  std::int64_t steps_left_;
  std::size_t bytes_in_use_ = 0;
  int depth_ = 0;
  int line_ = 0;
  std::vector<std::unique_ptr<Object>> objects_;  // last: they release what they were charged
};

}  // namespace isotope::text::jinja
