#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <fstream>
#include <limits>
#include <numeric>
#include <vector>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/file.h"
#include "base/json.h"
#include "base/sha256.h"
#include "base/tensor.h"
#include "base/thread_pool.h"

namespace isotope {
namespace {

TEST(Float8, EveryCodeRoundTripsAndNeighboursRoundToEven) {
  for (int code = 0; code < 256; ++code) {
    const float8_e4m3 value{std::uint8_t(code)};
    if (is_nan(value)) {
      EXPECT_TRUE(std::isnan(to_float(value)));
      continue;
    }
    EXPECT_EQ(to_float8_e4m3(to_float(value)).bits, code);
  }
  for (int code = 0; code < 0x7e; ++code) {
    const float low = to_float(float8_e4m3{std::uint8_t(code)});
    const float high = to_float(float8_e4m3{std::uint8_t(code + 1)});
    const float middle = (low + high) / 2;
    EXPECT_EQ(to_float8_e4m3(middle).bits, code % 2 == 0 ? code : code + 1) << middle;
    EXPECT_EQ(to_float8_e4m3(std::nextafter(middle, 1e9f)).bits, code + 1);
    EXPECT_EQ(to_float8_e4m3(std::nextafter(middle, -1e9f)).bits, code);
  }
}

TEST(Float8, KnownValuesAndSaturation) {
  EXPECT_EQ(to_float(float8_e4m3{0x01}), 0x1p-9f);  // OCP FP8 specification, table 1
  EXPECT_EQ(to_float(float8_e4m3{0x08}), 0x1p-6f);
  EXPECT_EQ(to_float(float8_e4m3{0x38}), 1.0f);
  EXPECT_EQ(to_float(float8_e4m3{0x7e}), 448.0f);
  EXPECT_EQ(to_float8_e4m3(1e30f).bits, 0x7e);
  EXPECT_EQ(to_float8_e4m3(-std::numeric_limits<float>::infinity()).bits, 0xfe);
  EXPECT_TRUE(is_nan(to_float8_e4m3(std::nanf(""))));
}

TEST(Bfloat16, RoundsToEvenAndKeepsNan) {
  EXPECT_EQ(to_bfloat16(1.0f).bits, 0x3f80);
  EXPECT_EQ(to_bfloat16(1.0f + 0x1p-8f).bits, 0x3f80);            // tie to even
  EXPECT_EQ(to_bfloat16(1.0f + 0x1p-7f + 0x1p-8f).bits, 0x3f82);  // tie to even, upwards
  EXPECT_TRUE(std::isnan(to_float(to_bfloat16(std::nanf("")))));
  EXPECT_EQ(to_float(float16{0x3c00}), 1.0f);
  EXPECT_EQ(to_float(float16{0x0001}), 0x1p-24f);
  EXPECT_EQ(to_float(float16{0xc000}), -2.0f);
}

// The vectors of FIPS 180-2, appendix B.
TEST(Sha256, KnownDigestsInPiecesOfEverySize) {
  const auto of = [](std::string_view text) { return hex(sha256(std::as_bytes(std::span(text)))); };
  EXPECT_EQ(of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  const std::string million(1'000'000, 'a');
  EXPECT_EQ(of(million), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  for (std::size_t piece = 1; piece < 200; ++piece) {
    Sha256 hash;
    const std::string_view text = std::string_view(million).substr(0, 119 + piece);
    for (std::size_t at = 0; at < text.size(); at += piece) hash.update(text.substr(at, piece));
    ASSERT_EQ(hex(hash.finish()), of(text)) << piece;
  }
}

TEST(ThreadPool, RunsEveryTaskOnceAndRethrows) {
  ThreadPool pool(3);
  for (int repeat = 0; repeat < 2000; ++repeat) {
    std::vector<std::atomic<int>> hits(std::size_t(repeat % 17));
    pool.parallel_for(std::int64_t(hits.size()), [&](std::int64_t task, int worker) {
      EXPECT_LT(worker, 3);
      ++hits[std::size_t(task)];
    });
    for (const auto& hit : hits) ASSERT_EQ(hit.load(), 1);
  }
  EXPECT_THROW(pool.parallel_for(8,
                                 [](std::int64_t task, int) {
                                   if (task == 5) throw Error(ErrorCode::internal, "x");
                                 }),
               Error);
  std::atomic<int> sum{0};
  pool.parallel_for(10, [&](std::int64_t task, int) { sum += int(task); });
  EXPECT_EQ(sum, 45);
}

TEST(Json, ErrorsNameFileFieldAndValue) {
  const json::value value = parse_json(R"({"a": -3, "b": "x", "n": null, "d": 1e400})", "f.json");
  const JsonFields fields(value, "f.json");
  EXPECT_EQ(fields.integer("n", 0, 9, 7), 7);
  try {
    fields.integer("a", 0, 9);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "f.json: 'a' is -3; expected an integer from 0 to 9");
  }
  EXPECT_THROW(fields.integer("b", 0, 9), Error);
  EXPECT_THROW(fields.integer("missing", 0, 9), Error);
  EXPECT_THROW(fields.number("d", 0, 9), Error);
  EXPECT_THROW(parse_json("{} x", "t"), Error);
  EXPECT_THROW(parse_json("{", "t"), Error);
  EXPECT_THROW(parse_json("", "t"), Error);
  EXPECT_THROW(parse_json(std::string(100000, '['), "t"), Error);
}

TEST(File, ReportsWhatIsWrong) {
  EXPECT_THROW(read_file("/nonexistent/file"), Error);
  EXPECT_THROW(read_file("/"), Error);
  EXPECT_THROW(MappedFile("/nonexistent/file"), Error);
}

TEST(Checked, OverflowIsAnError) {
  EXPECT_EQ(checked_mul<std::int64_t>(1 << 20, 1 << 20, "x"), std::int64_t(1) << 40);
  EXPECT_THROW(checked_mul<std::int64_t>(std::int64_t(1) << 40, std::int64_t(1) << 40, "x"), Error);
  EXPECT_THROW(checked_add<std::uint64_t>(~0ull, 1ull, "x"), Error);
}

}  // namespace
}  // namespace isotope
