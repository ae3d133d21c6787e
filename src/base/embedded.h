// Files that travel inside the binary; cmake/embed.cmake makes the lists.
#pragma once

#include <span>
#include <string_view>

namespace isotope {

struct EmbeddedFile {
  std::string_view name;  ///< relative to src: "ops/gpu/portable.cuh"
  std::string_view text;
};

using EmbeddedFiles = std::span<const EmbeddedFile>;

}  // namespace isotope
