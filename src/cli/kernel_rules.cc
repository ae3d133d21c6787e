#include "cli/kernel_rules.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace isotope::cli {
namespace {

constexpr std::string_view kMark = "// STREAMS ";

/// "1/2" to {1, 2}; false if it is not of that form.
bool parse_ratio(std::string_view text, StreamRule& rule) {
  const char* const end = text.data() + text.size();
  auto [slash, error] = std::from_chars(text.data(), end, rule.narrow);
  if (error != std::errc() || slash == end || *slash != '/') return false;
  const auto [rest, second] = std::from_chars(slash + 1, end, rule.wide);
  return second == std::errc() && rest == end && rule.narrow >= 0 && rule.wide > 0;
}

bool parse_rule(std::string_view text, StreamRule& rule) {
  if (text == "nothing" || text.starts_with("nothing:")) return true;
  rule.streams = true;
  constexpr std::string_view kNarrow = ", narrow loads <= ";
  const std::size_t at = text.find(kNarrow);
  if (at == std::string_view::npos)
    return !text.empty() && text.find("narrow") == std::string_view::npos;
  text.remove_prefix(at + kNarrow.size());
  const std::size_t colon = text.find(": ");  // a reason must follow
  return colon != std::string_view::npos && parse_ratio(text.substr(0, colon), rule);
}

/// "name" of a line `KERNEL(name, …`, `KERNEL_BLOCKS(name, …` and the like, or nothing.
std::string_view kernel_name(std::string_view line) {
  const std::size_t begin = line.find('('), end = line.find(',');
  if (!line.starts_with("KERNEL") || end == std::string_view::npos || begin > end) return {};
  return line.substr(begin + 1, end - begin - 1);
}

/// Kernels whose time is that of a step.
bool reads_much(std::string_view name) {
  return name.starts_with("linear_") || name.starts_with("attention_");
}

bool is_nvidia(std::string_view arch) { return arch.starts_with("sm_"); }

void check_resources(const KernelRow& row, std::string_view arch, std::size_t shared_per_block,
                     std::vector<std::string>& wrong) {
  const jit::KernelFacts& facts = row.facts;
  if (facts.spilled_vgprs > 0)
    wrong.push_back(fmt::format("{} VGPRs are spilled", facts.spilled_vgprs));
  if (facts.spilled_sgprs > 0 && reads_much(facts.name))
    wrong.push_back(fmt::format("{} SGPRs are spilled", facts.spilled_sgprs));
  // NVIDIA's frame also counts what was optimised away: the code tells.
  const bool used = !is_nvidia(arch) || !facts.code || facts.code->local > 0;
  if (facts.scratch_bytes > 0 && used)
    wrong.push_back(fmt::format("{} bytes a lane of scratch memory", facts.scratch_bytes));
  if (row.shared() > std::int64_t(shared_per_block))
    wrong.push_back(fmt::format("{} bytes of shared memory; a block may have {}", row.shared(),
                                shared_per_block));
  if (row.threads > facts.max_threads && facts.max_threads > 0)
    wrong.push_back(
        fmt::format("launched with {} threads, compiled for {}", row.threads, facts.max_threads));
}

void check_streams(const KernelRow& row, const StreamRule& rule, std::vector<std::string>& wrong) {
  for (const auto& [bytes, number] : row.facts.code->streamed)
    if (bytes < 16)
      wrong.push_back(fmt::format("{} streaming loads of {} bytes a lane", number, bytes));
  const std::vector<jit::Loop> loops = streaming_loops(row.facts);
  if (loops.empty()) wrong.push_back("no loop that reads 16 bytes a lane");
  for (const jit::Loop& loop : loops)
    if (loop.own.narrow() * rule.wide > loop.own.wide() * rule.narrow)
      wrong.push_back(
          fmt::format("the loop at {:#x} has {} loads of less than 16 bytes a lane beside {} of 16 "
                      "or more; allowed are "
                      "{}/{}",
                      loop.first, loop.own.narrow(), loop.own.wide(), rule.narrow, rule.wide));
}

/// The product of an FP8 prefill multiplies FP8 by FP8, and in its inner loop nothing else.
void check_fp8_product(const KernelRow& row, std::vector<std::string>& wrong) {
  int fp8 = 0, other = 0;
  for (const jit::Loop& loop : streaming_loops(row.facts))
    for (const auto& [type, number] : loop.counts.matrix) (type == "fp8" ? fp8 : other) += number;
  if (fp8 == 0) wrong.push_back("no v_wmma of FP8 by FP8 in the inner loop");
  if (other > 0)
    wrong.push_back(fmt::format("{} v_wmma of other types than FP8 in the inner loop", other));
}

}  // namespace

void read_stream_rules(std::string_view text, std::string_view file, StreamRules& rules) {
  StreamRule rule;
  bool said = false;
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size() - 1);
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (line.starts_with(kMark)) {
      rule = {};
      if (!parse_rule(line.substr(kMark.size()), rule))
        fail(ErrorCode::invalid_argument,
             "{}:{}: expected \"{}WHAT\", \"{}WHAT, narrow loads <= A/B: reason\" or \"{}nothing\"",
             file, number, kMark, kMark, kMark);
      said = true;
    } else if (const std::string_view name = kernel_name(line); !name.empty()) {
      if (said) rules[std::string(name)] = rule;
      said = false;
    }
  }
}

std::vector<jit::Loop> streaming_loops(const jit::KernelFacts& facts) {
  std::vector<jit::Loop> marked, bulk, multiplying;
  for (const jit::Loop& loop : facts.loops) {
    if (!loop.own.streamed.empty()) marked.push_back(loop);
    if (loop.own.bulk_loads > 0) bulk.push_back(loop);
    if (loop.own.wide() > 0 && !loop.counts.matrix.empty()) multiplying.push_back(loop);
  }
  if (!marked.empty()) return marked;
  if (!bulk.empty()) return bulk;
  // Not the loops around them: those over tiles of the result load what they add to.
  const auto is_one = [&multiplying](std::uint64_t first) {
    return std::any_of(multiplying.begin(), multiplying.end(),
                       [first](const jit::Loop& loop) { return loop.first == first; });
  };
  std::vector<jit::Loop> innermost;
  for (const jit::Loop& loop : multiplying)
    if (std::none_of(loop.inside.begin(), loop.inside.end(), is_one)) innermost.push_back(loop);
  return innermost;
}

std::vector<std::string> check_kernel(const KernelRow& row, std::string_view arch,
                                      const StreamRules& rules, std::size_t shared_per_block) {
  std::vector<std::string> wrong;
  check_resources(row, arch, shared_per_block, wrong);
  const std::string& name = row.facts.name;
  const auto rule = rules.find(name);
  if (rule == rules.end() && reads_much(name))
    wrong.push_back(fmt::format("its text has no line \"{}…\"", kMark));
  if (!row.facts.code) return wrong;
  if (rule != rules.end() && rule->second.streams) check_streams(row, rule->second, wrong);
  if (!is_nvidia(arch) && name.starts_with("linear_prefill") &&
      row.unit.find("fp8") != std::string::npos)
    check_fp8_product(row, wrong);
  return wrong;
}

}  // namespace isotope::cli
