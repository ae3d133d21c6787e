// The Jinja subset against what Python's jinja2 makes of the same templates
// (tools/make_jinja_vectors.py).
#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/string.hpp>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "text/chat_template.h"

namespace isotope::text {
namespace {

struct Outcome {
  std::string text;
  std::string error;
  bool failed = false;
};

Outcome outcome_of(std::string_view source, const json::object& variables) {
  try {
    return {ChatTemplate::parse(source, "case").render(variables), {}, false};
  } catch (const Error& error) {
    return {{}, error.what(), true};
  }
}

TEST(JinjaVectors, MatchPythonsJinja2) {
  const json::value document =
      parse_json_file(std::string(ISOTOPE_TEST_DATA) + "/jinja-vectors.json");
  const json::object& variables = document.at("setup").at("variables").as_object();
  const json::array& cases = document.at("cases").as_array();
  ASSERT_GT(cases.size(), 1000u);
  for (const json::value& entry : cases) {
    const std::string source(entry.at("template").as_string());
    SCOPED_TRACE(source);
    const Outcome outcome = outcome_of(source, variables);
    if (const json::value* text = entry.as_object().if_contains("text")) {
      EXPECT_FALSE(outcome.failed) << outcome.error;
      EXPECT_EQ(outcome.text, std::string_view(text->as_string()));
    } else if (const json::value* raised = entry.as_object().if_contains("raised")) {
      EXPECT_TRUE(outcome.failed) << outcome.text;
      EXPECT_EQ(outcome.error, std::string_view(raised->as_string()));
    } else {
      EXPECT_TRUE(outcome.failed) << "jinja2 says " << entry.at("error").as_string()
                                  << ", we print " << outcome.text;
      // Ours names the template and the line.
      EXPECT_EQ(outcome.error.rfind("case, line ", 0), 0u) << outcome.error;
    }
  }
}

}  // namespace
}  // namespace isotope::text
