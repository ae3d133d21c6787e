#include "jit/inspect/msgpack.h"

#include <bit>

#include <boost/json/array.hpp>

#include "base/error.h"

namespace isotope::jit {
namespace {

class Parser {
 public:
  Parser(std::span<const std::byte> bytes, std::string_view what) : bytes_(bytes), what_(what) {}

  json::value value(int depth = 0) {
    if (depth > 32) bad("nested too deeply");
    const auto tag = std::uint8_t(number(1));
    if (tag < 0x80) return std::int64_t(tag);
    if (tag < 0x90) return map(tag & 15u, depth);
    if (tag < 0xa0) return array(tag & 15u, depth);
    if (tag < 0xc0) return text(tag & 31u);
    if (tag >= 0xe0) return std::int64_t(std::int8_t(tag));
    switch (tag) {
      case 0xc0:
        return nullptr;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xca:
        return double(std::bit_cast<float>(std::uint32_t(number(4))));
      case 0xcb:
        return std::bit_cast<double>(number(8));
      case 0xcc:
        return std::int64_t(number(1));
      case 0xcd:
        return std::int64_t(number(2));
      case 0xce:
        return std::int64_t(number(4));
      case 0xcf:
        return number(8);
      case 0xd0:
        return std::int64_t(std::int8_t(number(1)));
      case 0xd1:
        return std::int64_t(std::int16_t(number(2)));
      case 0xd2:
        return std::int64_t(std::int32_t(number(4)));
      case 0xd3:
        return std::int64_t(number(8));
      case 0xd9:
        return text(number(1));
      case 0xda:
        return text(number(2));
      case 0xdb:
        return text(number(4));
      case 0xdc:
        return array(number(2), depth);
      case 0xdd:
        return array(number(4), depth);
      case 0xde:
        return map(number(2), depth);
      case 0xdf:
        return map(number(4), depth);
      default:
        bad("a type that metadata does not have");
    }
  }

 private:
  [[noreturn]] void bad(std::string_view reason) const {
    fail(ErrorCode::corrupt_data, "{}: metadata, byte {}: {}", what_, at_, reason);
  }
  std::span<const std::byte> take(std::uint64_t count) {
    if (count > bytes_.size() - at_) bad("cut off");
    at_ += count;
    return bytes_.subspan(at_ - count, count);
  }
  std::uint64_t number(int width) {  // big-endian
    std::uint64_t value = 0;
    for (const std::byte byte : take(std::uint64_t(width)))
      value = value << 8 | std::uint64_t(byte);
    return value;
  }
  json::value text(std::uint64_t size) {
    const auto from = take(size);
    return json::string(reinterpret_cast<const char*>(from.data()), from.size());
  }
  json::value array(std::uint64_t count, int depth) {
    json::array items;
    for (std::uint64_t i = 0; i < count; ++i) items.push_back(value(depth + 1));
    return items;
  }
  json::value map(std::uint64_t count, int depth) {
    json::object fields;
    for (std::uint64_t i = 0; i < count; ++i) {
      const json::value key = value(depth + 1);
      if (!key.is_string()) bad("a key that is no text");
      fields[key.get_string()] = value(depth + 1);
    }
    return fields;
  }

  std::span<const std::byte> bytes_;
  std::string_view what_;
  std::uint64_t at_ = 0;
};

}  // namespace

json::value parse_msgpack(std::span<const std::byte> bytes, std::string_view what) {
  return Parser(bytes, what).value();
}

}  // namespace isotope::jit
