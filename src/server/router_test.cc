#include "server/router.h"

#include <gtest/gtest.h>

#include "server/api_error.h"

namespace isotope::server {
namespace {

int status_of(std::string_view method, std::string_view target) {
  try {
    find_route(method, target);
  } catch (const ApiError& error) {
    return error.status();
  }
  return 200;
}

TEST(Router, FindsEndpoints) {
  EXPECT_TRUE(find_route("POST", "/v1/chat/completions").handle);
  EXPECT_TRUE(find_route("POST", "/v1/completions?x=1").handle);
  EXPECT_TRUE(find_route("GET", "/v1/models").show);
  EXPECT_TRUE(find_route("GET", "/v1/models/a%2Fb").show);
  EXPECT_TRUE(find_route("HEAD", "/health").tell);
}

TEST(Router, RefusesOthers) {
  EXPECT_EQ(status_of("GET", "/nothing"), 404);
  EXPECT_EQ(status_of("POST", "/"), 405);
  EXPECT_EQ(status_of("GET", "/v1/models2"), 404);
  EXPECT_EQ(status_of("POST", "/v1/completions/"), 404);
  EXPECT_EQ(status_of("GET", "/v1/completions"), 405);
  EXPECT_EQ(status_of("HEAD", "/v1/completions"), 405);
  EXPECT_EQ(status_of("DELETE", "/v1/models/m"), 405);
}

std::string told(std::string_view method, std::string_view target) {
  try {
    find_route(method, target);
  } catch (const ApiError& error) {
    return error.what();
  }
  return {};
}

TEST(Router, SaysWhyThereIsNoSuchEndpoint) {
  const auto says = [](std::string_view target, std::string_view words) {
    return told("POST", target).find(words) != std::string::npos;
  };
  EXPECT_TRUE(says("/v1/embeddings", "no vectors"));
  EXPECT_TRUE(says("/v1/audio/speech", "only text"));
  EXPECT_TRUE(says("/v1/responses/resp_1/cancel", "stores nothing"));
  EXPECT_TRUE(says("/v1/embeddings", "/v1/chat/completions"));
  EXPECT_TRUE(says("/v1/audiobooks", "there is no /v1/audiobooks; try"));
  EXPECT_EQ(status_of("POST", "/v1/embeddings"), 404);
}

TEST(Router, TellsErrorsInTheFormOfTheProtocol) {
  EXPECT_EQ(error_form("/v1/messages"), ErrorForm::anthropic);
  EXPECT_EQ(error_form("/v1/messages/batches"), ErrorForm::anthropic);
  EXPECT_EQ(error_form("/v1/chat/completions"), ErrorForm::openai);
}

TEST(Router, OnlyProbesAndThePageAreOpen) {
  for (const char* path : {"/health", "/version", "/metrics", "/", "/web/app.js"})
    EXPECT_TRUE(find_route("GET", path).open) << path;
  EXPECT_FALSE(find_route("GET", "/v1/models").open);
  EXPECT_FALSE(find_route("GET", "/v1/status").open);
  EXPECT_FALSE(find_route("GET", "/v1/models/m").open);
  for (const char* path : {"/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize"})
    EXPECT_FALSE(find_route("POST", path).open) << path;
}

}  // namespace
}  // namespace isotope::server
