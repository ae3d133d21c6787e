// Text in requests, where protocols allow a string or a list of typed parts.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "server/request_fields.h"

namespace isotope::server {

constexpr std::size_t kMaxParts = 4096;  // of one message

/// The text of `owner`'s field: a string, or parts of one of these `types`, which hold it in "text"
/// and are joined by line ends, as vLLM does for templates that expect a string. Empty if the field
/// is missing. Errors: ApiError 400 naming the part.
std::string read_text(const RequestFields& owner, std::string_view field,
                      std::initializer_list<std::string_view> types);

/// The text of one part. Errors: ApiError 400.
std::string read_text_part(const RequestFields& part,
                           std::initializer_list<std::string_view> types);

}  // namespace isotope::server
