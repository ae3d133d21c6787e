#include "server/access.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "server/api_error.h"
#include "server/cors.h"

namespace isotope::server {
namespace {

TEST(Access, ComparesSecrets) {
  EXPECT_TRUE(same_secret("key", "key"));
  EXPECT_FALSE(same_secret("key", "kez"));
  EXPECT_FALSE(same_secret("key", "keykey"));
  EXPECT_FALSE(same_secret("keykey", "key"));
  EXPECT_FALSE(same_secret("", "key"));
  EXPECT_FALSE(same_secret("key", ""));
}

TEST(Access, TakesAnyOfTheKeysInEitherHeader) {
  const std::vector<std::string> keys = {"one", "two"};
  EXPECT_NO_THROW(check_key({}, "", ""));
  EXPECT_NO_THROW(check_key(keys, "Bearer one", ""));
  EXPECT_NO_THROW(check_key(keys, "Bearer two", ""));
  EXPECT_NO_THROW(check_key(keys, "", "two"));
  for (const char* header : {"", "Bearer ", "Bearer tw", "Bearer onetwo", "Basic one", "one"})
    EXPECT_THROW(check_key(keys, header, ""), ApiError) << header;
  EXPECT_THROW(check_key(keys, "", "Bearer one"), ApiError);
}

TEST(Access, TakesOrMakesRequestIds) {
  EXPECT_EQ(request_id("a-1_b.C:d/e+f=@"), "a-1_b.C:d/e+f=@");
  EXPECT_EQ(request_id(std::string(128, 'x')), std::string(128, 'x'));
  EXPECT_EQ(request_id("").size(), 32u);
  EXPECT_NE(request_id(""), request_id(""));
  for (const std::string& id : {std::string(129, 'x'), std::string("a b"), std::string("a\x1b[0m"),
                                std::string("\"}"), std::string("\xc3\xa4")})
    EXPECT_THROW(request_id(id), ApiError) << id;
}

TEST(Access, LeavesOutTheRoot) {
  EXPECT_EQ(without_root("/llm/v1/models", "/llm"), "/v1/models");
  EXPECT_EQ(without_root("/v1/models", "/llm"), "/v1/models");
  EXPECT_EQ(without_root("/llmv1", "/llm"), "/llmv1");
  EXPECT_EQ(without_root("/llm/", ""), "/llm/");
  EXPECT_EQ(normal_root("llm/"), "/llm");
  EXPECT_EQ(normal_root("/"), "");
  EXPECT_EQ(normal_root("/a/b"), "/a/b");
  EXPECT_THROW(normal_root("/a?b"), Error);
}

std::string find(const Headers& headers, std::string_view name) {
  for (const auto& [key, value] : headers)
    if (key == name) return value;
  return "-";
}

TEST(Cors, AllowsNobodyByDefault) {
  EXPECT_TRUE(cors_headers({}, "https://a.example").empty());
  EXPECT_THROW(answer_preflight({}, {"https://a.example", "POST", ""}), ApiError);
}

TEST(Cors, EchoesAllowedOrigins) {
  const CorsOptions options{.allowed_origins = {"https://a.example", "http://localhost:3000"}};
  const Headers allowed = cors_headers(options, "http://localhost:3000");
  EXPECT_EQ(find(allowed, "Access-Control-Allow-Origin"), "http://localhost:3000");
  EXPECT_EQ(find(allowed, "Access-Control-Allow-Credentials"), "-");
  EXPECT_EQ(find(allowed, "Vary"), "Origin");
  for (const char* other : {"http://localhost", "https://a.example.evil", "http://a.example"}) {
    const Headers refused = cors_headers(options, other);
    EXPECT_EQ(find(refused, "Access-Control-Allow-Origin"), "-") << other;
    EXPECT_EQ(find(refused, "Vary"), "Origin");
  }
  EXPECT_TRUE(cors_headers(options, "").empty());
}

TEST(Cors, NeverCombinesAStarWithCredentials) {
  CorsOptions options{.allowed_origins = {"*"}};
  EXPECT_EQ(find(cors_headers(options, "https://b"), "Access-Control-Allow-Origin"), "*");
  options.allow_credentials = true;
  const Headers headers = cors_headers(options, "https://b");
  EXPECT_EQ(find(headers, "Access-Control-Allow-Origin"), "https://b");
  EXPECT_EQ(find(headers, "Access-Control-Allow-Credentials"), "true");
}

TEST(Cors, AnswersPreflights) {
  CorsOptions options{.allowed_origins = {"https://a"}};
  const Response all = answer_preflight(options, {"https://a", "POST", "authorization, x-b"});
  EXPECT_EQ(find(all.headers, "Access-Control-Allow-Headers"), "authorization, x-b");
  EXPECT_EQ(find(all.headers, "Access-Control-Allow-Methods"), "GET, HEAD, OPTIONS, POST");
  EXPECT_THROW(answer_preflight(options, {"https://b", "POST", ""}), ApiError);
  options.allowed_methods = {"GET"};
  EXPECT_THROW(answer_preflight(options, {"https://a", "POST", ""}), ApiError);
  options.allowed_methods = {"POST"};
  options.allowed_headers = {"Authorization"};
  EXPECT_NO_THROW(answer_preflight(options, {"https://a", "POST", "authorization,content-type"}));
  EXPECT_THROW(answer_preflight(options, {"https://a", "POST", "authorization,x-b"}), ApiError);
}

TEST(Cors, RefusesWhatIsNoOrigin) {
  for (const char* origin : {"*", "null", "https://a.example", "http://localhost:3000"})
    EXPECT_NO_THROW(check_cors_options({.allowed_origins = {origin}})) << origin;
  for (const char* origin : {"a.example", "https://", "https://a/", "https://*.a", "://a", ""})
    EXPECT_THROW(check_cors_options({.allowed_origins = {origin}}), Error) << origin;
}

}  // namespace
}  // namespace isotope::server
