// Any bytes as a safetensors file: what its header says is refused or lies inside the file.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "base/error.h"
#include "weights/safetensors_header.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace isotope::weights;
  const std::span file(reinterpret_cast<const std::byte*>(bytes), size);
  try {
    const SafetensorsHeader header = parse_safetensors_header(file, "fuzz");
    const auto data = file.subspan(std::size_t(header.data_offset));
    for (const SafetensorsEntry& entry : header.entries) {
      const SafetensorsView found = view_of(entry, data);
      const auto* begin = static_cast<const std::byte*>(found.view.data);
      // Whatever is accepted lies inside the file.
      if (found.problem.empty() &&
          (begin < data.data() || begin + found.view.bytes() > data.data() + data.size()))
        std::abort();
    }
  } catch (const isotope::Error&) {
  }
  return 0;
}
