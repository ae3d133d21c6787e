// MessagePack (msgpack.org), the form of AMD's metadata, read into a JSON value.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "base/json.h"

namespace isotope::jit {

/// Keys of maps must be texts; binary and extension types are refused. Errors: corrupt_data naming
/// `what`.
json::value parse_msgpack(std::span<const std::byte> bytes, std::string_view what);

}  // namespace isotope::jit
