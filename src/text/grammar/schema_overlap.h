// Whether two schemas can accept the same value: oneOf forbids it.
#pragma once

#include <string>

#include "base/json.h"

namespace isotope::text {

/// Refuses options of oneOf (flat schemas) that are not sure to exclude each other; `common` holds
/// for all of them.
void refuse_overlap(const json::array& options, const json::object& common,
                    const std::string& path);

}  // namespace isotope::text
