#include "cli/kernel_rules.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "ops/gpu/kernel_library.h"

namespace isotope::cli {
namespace {

StreamRules rules_of(std::string_view text) {
  StreamRules rules;
  read_stream_rules(text, "k.cu", rules);
  return rules;
}

std::string message_of(std::string_view text) {
  try {
    rules_of(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

jit::CodeCounts loads(std::map<int, int> all, std::map<int, int> streamed = {},
                      std::map<std::string, int> matrix = {}, int bulk = 0) {
  return {.loads = std::move(all),
          .streamed = std::move(streamed),
          .bulk_loads = bulk,
          .matrix = std::move(matrix)};
}

jit::Loop loop_of(std::uint64_t first, const jit::CodeCounts& own) {
  return {.first = first, .counts = own, .own = own};
}

/// Streams weights: eight loads of 16 bytes, two of 4, in its one loop.
KernelRow good_row() {
  KernelRow row{.unit = "linear_decode<fp8>", .file = "k.cu"};
  row.facts.name = "linear_decode";
  row.facts.max_threads = 256;
  row.threads = 256;
  row.facts.code = loads({{16, 9}, {4, 3}}, {{16, 8}}, {{"bf16", 4}});
  row.facts.loops = {loop_of(0x100, loads({{16, 8}, {4, 2}}, {{16, 8}}, {{"bf16", 4}}))};
  return row;
}

const char* const kText =
    "// STREAMS weights, narrow loads <= 1/4: scales\n"
    "KERNEL(linear_decode, Params, 256) {\n";

std::vector<std::string> check(const KernelRow& row, std::string_view text = kText,
                               std::string_view arch = "gfx1201") {
  return check_kernel(row, arch, rules_of(text), 65536);
}

TEST(StreamRules, BelongToTheNextKernel) {
  const StreamRules rules = rules_of(
      "// STREAMS weights, narrow loads <= 3/8: scales\n// more\nKERNEL_BLOCKS(a, P, 1, 2) {\n"
      "KERNEL(b, P, 1)\n// STREAMS nothing: small\nKERNEL(c, P, 1)\n// STREAMS K and V\nKERNEL(d, "
      "P, 1)");
  ASSERT_EQ(rules.size(), 3u);
  EXPECT_TRUE(rules.at("a").streams);
  EXPECT_EQ(rules.at("a").narrow, 3);
  EXPECT_EQ(rules.at("a").wide, 8);
  EXPECT_FALSE(rules.at("c").streams);
  EXPECT_TRUE(rules.at("d").streams);
  EXPECT_EQ(rules.at("d").narrow, 0);
}

TEST(StreamRules, OtherFormsAreRefusedByLine) {
  EXPECT_EQ(message_of("\n// STREAMS weights, narrow loads <= 1/0: x\n").substr(0, 7), "k.cu:2:");
  EXPECT_EQ(message_of("// STREAMS weights, narrow loads <= 1/4\n").substr(0, 7), "k.cu:1:")
      << "no reason";
  EXPECT_EQ(message_of("// STREAMS weights, narrow <= 1/4: x\n").substr(0, 7), "k.cu:1:");
  EXPECT_EQ(message_of("// STREAMS weights\n"), "no error");
}

TEST(StreamRules, OfAllKernelTextAreWellFormed) {
  StreamRules rules;
  for (const auto& [file, text] : ops::gpu::kernel_sources()) read_stream_rules(text, file, rules);
  EXPECT_TRUE(rules.contains("linear_decode"));
}

TEST(KernelCheck, AGoodKernelPasses) { EXPECT_EQ(check(good_row()), std::vector<std::string>{}); }

TEST(KernelCheck, SpillsScratchAndSharedMemory) {
  KernelRow row = good_row();
  row.facts.spilled_vgprs = 3;
  EXPECT_EQ(check(row).size(), 1u);
  row = good_row();
  row.facts.spilled_sgprs = 3;
  EXPECT_EQ(check(row).size(), 1u);
  row.facts.name = "sample";
  EXPECT_EQ(check(row).size(), 0u);
  row = good_row();
  row.facts.scratch_bytes = 16;
  EXPECT_EQ(check(row).size(), 1u);
  EXPECT_EQ(check(row, kText, "sm_90a").size(), 0u) << "a frame that no instruction uses";
  row.facts.code->local = 1;
  EXPECT_EQ(check(row, kText, "sm_90a").size(), 1u);
  row = good_row();
  row.facts.shared_bytes = 1;
  row.dynamic_shared = 65535;
  EXPECT_EQ(check(row).size(), 0u);
  row.dynamic_shared = 65536;
  EXPECT_EQ(check(row).size(), 1u);
  row = good_row();
  row.threads = 257;
  EXPECT_EQ(check(row).size(), 1u);
}

TEST(KernelCheck, NarrowLoadsInAStreamingLoop) {
  KernelRow row = good_row();
  row.facts.loops[0].own.loads[4] = 3;
  EXPECT_EQ(check(row).size(), 1u);
  EXPECT_EQ(
      check(row, "// STREAMS weights, narrow loads <= 3/8: scales\nKERNEL(linear_decode, P, 1)")
          .size(),
      0u);
  row = good_row();
  row.facts.code->streamed[8] = 1;
  EXPECT_EQ(check(row).size(), 1u) << "a load marked as streaming of 8 bytes";
  row = good_row();
  row.facts.loops = {loop_of(0x100, loads({{8, 16}}))};
  EXPECT_EQ(check(row).size(), 1u) << "nothing of 16 bytes at all";
  row = good_row();
  row.facts.loops.push_back(loop_of(0x200, loads({{2, 9}, {16, 1}})));
  EXPECT_EQ(check(row).size(), 0u) << "a loop over something else";
}

TEST(KernelCheck, LinearAndAttentionKernelsSayWhatTheyStream) {
  EXPECT_EQ(check(good_row(), "").size(), 1u);
  KernelRow row = good_row();
  row.facts.name = "embed";
  EXPECT_EQ(check(row, "").size(), 0u);
  EXPECT_EQ(check(good_row(), "// STREAMS nothing\nKERNEL(linear_decode, P, 1)").size(), 0u);
}

TEST(KernelCheck, StreamingLoopsWithoutMarksAreThoseOfBulkLoadsOrTheInnermostThatMultiply) {
  jit::KernelFacts facts;
  jit::Loop outer = loop_of(0x10, loads({{16, 1}, {4, 9}}));
  outer.counts.matrix["fp8"] = 4;
  outer.inside = {0x20};
  const jit::Loop inner = loop_of(0x20, loads({{16, 4}}, {}, {{"fp8", 4}}));
  facts.loops = {outer, inner, loop_of(0x30, loads({{16, 2}}))};
  ASSERT_EQ(streaming_loops(facts).size(), 1u);
  EXPECT_EQ(streaming_loops(facts)[0].first, 0x20u);
  facts.loops.push_back(loop_of(0x40, loads({}, {}, {}, 2)));
  ASSERT_EQ(streaming_loops(facts).size(), 1u);
  EXPECT_EQ(streaming_loops(facts)[0].first, 0x40u);
}

TEST(KernelCheck, Fp8PrefillMultipliesFp8AndNothingElse) {
  const char* text =
      "// STREAMS weights, narrow loads <= 1/4: scales\nKERNEL(linear_prefill_128, P, 1)";
  KernelRow row = good_row();
  row.unit = "linear_prefill<fp8,block>";
  row.facts.name = "linear_prefill_128";
  EXPECT_EQ(check(row, text).size(), 2u) << "bf16 there, fp8 missing";
  row.facts.loops[0].counts.matrix = {{"fp8", 4}};
  EXPECT_EQ(check(row, text).size(), 0u);
  row.facts.loops[0].counts.matrix = {};
  EXPECT_EQ(check(row, text).size(), 1u);
  row.unit = "linear_prefill<bf16>";
  EXPECT_EQ(check(row, text).size(), 0u);
}

}  // namespace
}  // namespace isotope::cli
