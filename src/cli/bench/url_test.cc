#include "cli/bench/url.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace isotope::cli {
namespace {

TEST(Url, Parts) {
  const Url url = parse_url("http://gpu1:8000/v1/");
  EXPECT_EQ(url.host, "gpu1");
  EXPECT_EQ(url.port, "8000");
  EXPECT_EQ(url.path, "/v1");
  EXPECT_EQ(url.authority(), "gpu1:8000");
  EXPECT_EQ(parse_url("http://a").port, "80");
  EXPECT_EQ(parse_url("http://[::1]:5/x").host, "::1");
  EXPECT_EQ(parse_url("http://[::1]:5").authority(), "[::1]:5");
  EXPECT_EQ(parse_url("http://[::1]").port, "80");
}

TEST(Url, OthersAreRefused) {
  for (const char* text : {"", "a:80", "https://a", "http://", "http://:80", "http://a:",
                           "http://a:b", "http://a:123456", "http://a b", "http://a\r\nX: y",
                           "http://[::1", "http://[::1]5", "http://a/?x", "ftp://a"})
    EXPECT_THROW(parse_url(text), Error) << text;
}

TEST(Url, V1IsNotDoubled) {
  EXPECT_EQ(join_target(parse_url("http://a/v1"), "/v1/completions"), "/v1/completions");
  EXPECT_EQ(join_target(parse_url("http://a/x/v1"), "/v1/models"), "/x/v1/models");
  EXPECT_EQ(join_target(parse_url("http://a/x"), "/v1/models"), "/x/v1/models");
  EXPECT_EQ(join_target(parse_url("http://a"), "/v1/models"), "/v1/models");
}

}  // namespace
}  // namespace isotope::cli
