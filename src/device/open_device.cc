// Which device a name on the command line means.
#include <charconv>
#include <optional>
#include <tuple>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "device/cpu/cpu_device.h"
#include "device/gpu_device.h"

namespace isotope::device {
namespace {

std::shared_ptr<const GpuDriver> open_driver(Kind kind) {
  return kind == Kind::cuda ? open_cuda_driver() : open_hip_driver();
}

struct Candidate {
  std::shared_ptr<const GpuDriver> driver;
  int ordinal = 0;
  GpuFacts facts;

  std::string label() const {
    return fmt::format("{}:{} {}", name_of(driver->kind()), ordinal, facts.properties.name);
  }
  std::string describe() const {
    return fmt::format("{} ({}, {:.1f} GiB, {} multiprocessors)", label(), facts.properties.arch,
                       double(facts.properties.memory_bytes) / double(1 << 30),
                       facts.properties.multiprocessors);
  }
  bool better_than(const Candidate& other) const {
    const GpuProperties &mine = facts.properties, &theirs = other.facts.properties;
    return std::tie(mine.memory_bytes, mine.multiprocessors) >
           std::tie(theirs.memory_bytes, theirs.multiprocessors);
  }
};

/// All cards of a driver. Errors: unsupported with the driver's reason.
std::vector<Candidate> list_cards(const std::shared_ptr<const GpuDriver>& driver) {
  int count = 0;
  DriverStatus status = driver->device_count(&count);
  std::vector<Candidate> cards;
  for (int i = 0; status.ok() && i < count; ++i) {
    cards.push_back({driver, i, {}});
    status = driver->facts(i, &cards.back().facts);
  }
  if (!status.ok())
    fail(ErrorCode::unsupported, "{}: {} failed: {} ({}); use --device cpu", driver->identity(),
         status.call, driver->error_name(status.code), driver->error_text(status.code));
  return cards;
}

/// Usable discrete cards of one vendor, for `auto`: what stands in the way is told, never thrown.
/// That there is no driver is no news.
void collect(Kind kind, std::vector<Candidate>& usable, std::vector<std::string>& reasons) {
  try {
    const auto driver = open_driver(kind);
    std::vector<Candidate> cards = list_cards(driver);
    if (cards.empty()) reasons.push_back(fmt::format("{} sees no card", driver->identity()));
    for (Candidate& card : cards) {
      if (!card.facts.unusable.empty())
        reasons.push_back(fmt::format("{}: {}", card.label(), card.facts.unusable));
      else if (card.facts.properties.integrated)
        reasons.push_back(fmt::format("{} shares the memory of the CPU (--device {}:{} uses it)",
                                      card.label(), name_of(kind), card.ordinal));
      else
        usable.push_back(std::move(card));
    }
  } catch (const Error& error) {
    if (error.code() == ErrorCode::not_found)
      log_debug("device", "{}", error.what());
    else
      log_warning("device", "{}", error.what());
  }
}

std::unique_ptr<Device> open_auto(int threads) {
  std::vector<Candidate> usable;
  std::vector<std::string> reasons;
  collect(Kind::cuda, usable, reasons);
  collect(Kind::hip, usable, reasons);
  for (const std::string& reason : reasons) log_info("device", "not chosen: {}", reason);
  const std::size_t found = usable.size();
  while (!usable.empty()) {
    std::size_t best = 0;
    for (std::size_t i = 1; i < usable.size(); ++i)
      if (usable[i].better_than(usable[best])) best = i;
    try {
      auto device = std::make_unique<GpuDevice>(usable[best].driver, usable[best].ordinal);
      log_info(
          "device", "auto chooses {}: {}", usable[best].describe(),
          found == 1 ? "the only usable GPU" : fmt::format("the largest of {} usable GPUs", found));
      return device;
    } catch (const Error& error) {
      log_warning("device", "{}", error.what());
      usable.erase(usable.begin() + std::ptrdiff_t(best));
    }
  }
  log_info(
      "device", "auto chooses the CPU: {}",
      found > 0 || !reasons.empty() ? "no GPU can be used" : "no usable GPU driver is installed");
  return std::make_unique<CpuDevice>(threads);
}

/// N of "cuda:N", 0 of "cuda"; none if the text is neither.
std::optional<int> parse_ordinal(std::string_view text) {
  if (text.empty()) return 0;
  if (!text.starts_with(':')) return std::nullopt;
  text.remove_prefix(1);
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

std::unique_ptr<Device> open_gpu(Kind kind, int ordinal) {
  const auto driver = open_driver(kind);
  const std::vector<Candidate> cards = list_cards(driver);
  if (cards.empty())
    fail(ErrorCode::unsupported,
         "--device {}: {} sees no card; see what {} says, or use --device cpu", name_of(kind),
         driver->identity(), kind == Kind::cuda ? "nvidia-smi" : "rocminfo");
  if (std::size_t(ordinal) >= cards.size()) {
    std::string present;
    for (const Candidate& card : cards)
      present += fmt::format("{}{}", present.empty() ? "" : ", ", card.describe());
    fail(ErrorCode::invalid_argument, "--device {}:{}: this machine has {}", name_of(kind), ordinal,
         present);
  }
  return std::make_unique<GpuDevice>(driver, ordinal);
}

}  // namespace

std::unique_ptr<Device> open_device(std::string_view name, int threads) {
  if (name == "auto") return open_auto(threads);
  if (name == "cpu") return std::make_unique<CpuDevice>(threads);
  for (const Kind kind : {Kind::cuda, Kind::hip}) {
    const std::string_view vendor = name_of(kind);
    if (!name.starts_with(vendor)) continue;
    if (const auto ordinal = parse_ordinal(name.substr(vendor.size())))
      return open_gpu(kind, *ordinal);
  }
  fail(ErrorCode::invalid_argument, "--device {}: expected auto, cpu, cuda[:N] or hip[:N]", name);
}

}  // namespace isotope::device
