// Any bytes as config.json, or as params.json if the first byte is 'p'.
#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "scratch_folder.h"
#include "weights/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace isotope;
  static const fuzz::ScratchFolder folder("config-fuzz");
  const bool native = size > 0 && data[0] == 'p';
  folder.remove(native ? "config.json" : "params.json");
  folder.write(native ? "params.json" : "config.json", data + native, size - native);
  try {
    weights::read_model_config(folder.path());
  } catch (const Error&) {
    // The one way to refuse a file.
  }
  return 0;
}
