// Arithmetic on sizes that come from outside: overflow is an error, never a wrapped number.
#pragma once

#include <concepts>
#include <optional>
#include <string_view>

#include "base/error.h"

namespace isotope {

template <std::integral T>
std::optional<T> try_add(T a, T b) {
  T result;
  if (__builtin_add_overflow(a, b, &result)) return std::nullopt;
  return result;
}

template <std::integral T>
std::optional<T> try_mul(T a, T b) {
  T result;
  if (__builtin_mul_overflow(a, b, &result)) return std::nullopt;
  return result;
}

/// a + b, or an Error (corrupt_data) that names `what`.
template <std::integral T>
T checked_add(T a, T b, std::string_view what) {
  if (auto sum = try_add(a, b)) return *sum;
  fail(ErrorCode::corrupt_data, "{}: {} + {} overflows", what, a, b);
}

/// a * b, or an Error (corrupt_data) that names `what`.
template <std::integral T>
T checked_mul(T a, T b, std::string_view what) {
  if (auto product = try_mul(a, b)) return *product;
  fail(ErrorCode::corrupt_data, "{}: {} * {} overflows", what, a, b);
}

template <std::integral T>
constexpr T ceil_div(T a, T b) {
  return (a + b - 1) / b;
}

template <std::integral T>
constexpr T round_up(T a, T multiple) {
  return ceil_div(a, multiple) * multiple;
}

}  // namespace isotope
