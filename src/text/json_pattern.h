// Fields that several parts of tokenizer.json share.
#pragma once

#include <string>

#include "base/json.h"
#include "text/regex.h"

namespace isotope::text {

/// The array in a required field. Errors name file, field and value.
const json::array& json_array(const JsonFields& fields, std::string_view field);

/// "pattern": {"Regex": …} or {"String": …}, the latter taken literally.
Regex json_pattern(const JsonFields& fields);

}  // namespace isotope::text
