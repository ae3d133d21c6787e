// Draws against Python's own (tools/make_eval_fixtures.py).
#include "cli/eval/python_random.h"

#include <gtest/gtest.h>

#include <boost/json/array.hpp>

#include "base/error.h"
#include "base/json.h"

namespace isotope::cli {
namespace {

TEST(PythonRandom, SamplesAsPythonDoes) {
  const json::value cases =
      parse_json_file(std::string(ISOTOPE_TEST_DATA) + "/eval/python-random.json");
  for (const json::value& entry : cases.as_array()) {
    const JsonFields fields(entry, "case");
    PythonRandom random(std::uint32_t(fields.integer("seed", 0, UINT32_MAX)));
    const std::size_t population = std::size_t(fields.integer("population", 0, 1 << 20));
    const std::size_t k = std::size_t(fields.integer("k", 0, 1 << 20));
    for (const json::value& draw : entry.at("draws").as_array()) {
      json::array drawn;
      for (const std::size_t index : random.sample(population, k))
        drawn.push_back(std::int64_t(index));
      EXPECT_EQ(json::value(drawn), draw) << brief(entry);
    }
  }
}

TEST(PythonRandom, RefusesToDrawMoreThanThereAre) {
  EXPECT_THROW(PythonRandom(1).sample(4, 5), Error);
}

}  // namespace
}  // namespace isotope::cli
