#include "server/web_page.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace isotope::server {
namespace {

std::string header(const Response& response, std::string_view name) {
  for (const auto& [key, value] : response.headers)
    if (key == name) return value;
  return {};
}

TEST(WebPage, HasItsFiles) {
  const auto page = web_page_file("/");
  ASSERT_TRUE(page);
  EXPECT_TRUE(page->body.starts_with("<!doctype html>"));
  EXPECT_EQ(page->content_type, "text/html; charset=utf-8");
  EXPECT_EQ(web_page_file("/web/app.js")->content_type, "text/javascript; charset=utf-8");
  EXPECT_EQ(web_page_file("/web/style.css")->content_type, "text/css; charset=utf-8");
  EXPECT_EQ(web_page_file("/web/index.html")->body, page->body);
  for (const char* path : {"", "/web/", "/web/none.js", "/web", "/web/../access.cc", "/app.js"})
    EXPECT_FALSE(web_page_file(path)) << path;
}

TEST(WebPage, LoadsNothingFromElsewhere) {
  const auto page = web_page_file("/");
  const std::string policy = header(*page, "Content-Security-Policy");
  for (const char* part : {"default-src 'none'", "script-src 'self'", "connect-src 'self'",
                           "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"})
    EXPECT_NE(policy.find(part), std::string::npos) << part;
  EXPECT_EQ(policy.find("unsafe"), std::string::npos);
  EXPECT_EQ(header(*page, "Referrer-Policy"), "no-referrer");
  // Relative links, so that the page works behind a proxy's prefix.
  for (const char* link : {"src=\"/", "href=\"/", "src=\"http", "href=\"http", "style=", "<style"})
    EXPECT_EQ(page->body.find(link), std::string::npos) << link;
}

TEST(WebPage, IsSentOnce) {
  const std::string etag = header(*web_page_file("/"), "ETag");
  EXPECT_EQ(etag.size(), 34u);
  EXPECT_NE(etag, header(*web_page_file("/web/app.js"), "ETag"));
  EXPECT_TRUE(matches_etag(etag, etag));
  EXPECT_TRUE(matches_etag("\"a\", W/" + etag, etag));
  EXPECT_TRUE(matches_etag("*", etag));
  EXPECT_FALSE(matches_etag("", etag));
  EXPECT_FALSE(matches_etag("\"a\", ,\"b\"", etag));
  EXPECT_FALSE(matches_etag(etag.substr(1), etag));
}

}  // namespace
}  // namespace isotope::server
