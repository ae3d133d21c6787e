// isotope eval compare
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace isotope::cli {

struct CompareFlags {
  std::filesystem::path a, b;
  std::int64_t show_flips = 0;
  std::string json;
};

int run_compare(const CompareFlags& flags);

}  // namespace isotope::cli
