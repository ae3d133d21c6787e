#include "server/text_content.h"

#include <algorithm>

namespace isotope::server {

std::string read_text_part(const RequestFields& part,
                           std::initializer_list<std::string_view> types) {
  const std::string type = part.string("type").value_or("");
  if (std::find(types.begin(), types.end(), type) == types.end())
    part.reject("type", fmt::format("'{}' is not supported; only text can be sent", type));
  return part.required_string("text");
}

std::string read_text(const RequestFields& owner, std::string_view field,
                      std::initializer_list<std::string_view> types) {
  const json::value* content = owner.find(field);
  if (!content) return {};
  if (content->is_string()) return std::string(content->get_string());
  if (!content->is_array()) owner.wrong(field, "a string or a list of parts");
  std::string text;
  std::size_t index = 0;
  for (const json::value& item : *owner.array(field, kMaxParts)) {
    const std::string path = fmt::format("{}[{}]", owner.path(field), index);
    if (index++ > 0) text += '\n';
    text += item.is_string() ? std::string(item.get_string())
                             : read_text_part(RequestFields(item, path), types);
  }
  return text;
}

}  // namespace isotope::server
