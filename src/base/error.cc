#include "base/error.h"

#include <cstdio>
#include <cstdlib>

namespace isotope {

void assertion_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "isotope: internal error: %s does not hold (%s:%d)\n", expression, file,
               line);
  std::abort();
}

}  // namespace isotope
