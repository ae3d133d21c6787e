#include "cli/bench/sse_parser.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/error.h"

namespace isotope::cli {
namespace {

using Events = std::vector<std::string>;

/// The events of `stream`, given to the parser in pieces of `size` bytes.
Events events_of(std::string_view stream, std::size_t size) {
  Events events;
  SseParser parser;
  const auto add = [&](std::string_view data) { events.emplace_back(data); };
  for (std::size_t at = 0; at < stream.size(); at += size)
    parser.feed(stream.substr(at, size), add);
  parser.finish(add);
  return events;
}

void expect_events(std::string_view stream, const Events& expected) {
  for (std::size_t size = 1; size <= stream.size() + 1; ++size)
    EXPECT_EQ(events_of(stream, size), expected) << "in pieces of " << size;
}

TEST(SseParser, LinesMayEndInThreeWays) {
  expect_events("data: a\n\ndata: b\n\n", {"a", "b"});
  expect_events("data: a\r\n\r\ndata: b\r\n\r\n", {"a", "b"});
  expect_events("data: a\r\rdata: b\r\r", {"a", "b"});
  expect_events("data: a\n\r\ndata: b\r\n\n", {"a", "b"});
}

TEST(SseParser, OneSpaceIsOptional) {
  expect_events("data:a\n\ndata:  b\n\ndata: \n\ndata\n\n", {"a", " b"});
}

TEST(SseParser, LinesOfDataAreJoined) { expect_events("data: a\ndata: b\n\n", {"a\nb"}); }

TEST(SseParser, CommentsAndOtherFieldsAreSkipped) {
  expect_events(": ping\n\nevent: x\nid: 3\ndata: a\nretry: 5\n\ndatabase: b\n\n:\n\n", {"a"});
}

TEST(SseParser, AByteOrderMarkIsSkipped) {
  expect_events(
      "\xef\xbb\xbf"
      "data: a\n\n",
      {"a"});
}

TEST(SseParser, TheLastBlankLineMayBeMissing) {
  expect_events("data: a\n\ndata: [DONE]\n", {"a", "[DONE]"});
  expect_events("data: a\n\ndata: [DONE]", {"a", "[DONE]"});
}

TEST(SseParser, AnEndlessEventIsRefused) {
  SseParser parser(100);
  const auto ignore = [](std::string_view) {};
  parser.feed(std::string(99, 'x'), ignore);
  EXPECT_THROW(parser.feed("xx", ignore), Error);
  SseParser lines(100);
  EXPECT_THROW(
      {
        for (int i = 0; i < 50; ++i) lines.feed("data: xxxx\n", ignore);
      },
      Error);
}

}  // namespace
}  // namespace isotope::cli
