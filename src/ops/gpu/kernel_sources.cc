#include "base/embedded.h"
#include "ops/gpu/kernel_library.h"

namespace isotope {

extern const EmbeddedFiles kernel_files;  // made by cmake/embed.cmake

namespace ops::gpu {

const jit::SourceMap& kernel_sources() {
  static const jit::SourceMap sources = [] {
    jit::SourceMap map;
    for (const EmbeddedFile& file : kernel_files) map.emplace(file.name, file.text);
    return map;
  }();
  return sources;
}

}  // namespace ops::gpu
}  // namespace isotope
