// Where the time of a step goes: its parts in order, each from its mark to the next one's.
//
// A mark is put in front of every part ("qkv", "attention", …), so the intervals leave nothing out:
// what a part waits for counts as its own, and what lies between two steps is an interval too. On a
// CPU marks are times; on a GPU they are events in the stream, which keep launches from
// overlapping, so that a profiled step takes somewhat longer than one that is not.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "device/gpu.h"

namespace isotope::ops {

struct ProfiledPart {
  std::string_view part;
  double begin = 0, seconds = 0;  ///< begin: since the first step's
  /// What launches loaded from memory, where the device counts it (Gpu::counted_work).
  std::uint64_t loaded_bytes = 0;
};

struct ProfiledStep {
  std::int64_t rows = 0, decode_rows = 0;
  double seconds = 0;  ///< from its first mark to its end
  std::optional<double>
      idle_before;  ///< seconds since the end of the step before, if that was profiled
  std::vector<ProfiledPart> parts;
};

class Profiler {
 public:
  /// From any thread: whether steps that begin from now on are profiled.
  void enable(bool on) { enabled_ = on; }
  bool enabled() const { return enabled_; }
  /// The steps since the last call, in order. From any thread.
  std::vector<ProfiledStep> take();

  // By the thread that runs steps, on one device:
  void begin_step(device::Device& device, std::int64_t rows, std::int64_t decode_rows);
  void mark(std::string_view part);
  /// The last part ends here (on a GPU: in the stream).
  void end_parts();
  /// Everything queued is done.
  void end_step();
  /// A step that failed is forgotten, and with it what came before.
  void abandon();
  /// The device is about to go: gives back its events. What was profiled stays.
  void leave_device();

 private:
  using Clock = std::chrono::steady_clock;
  struct Mark {
    std::string_view part;
    Clock::time_point time;
    std::unique_ptr<device::Event> event;
    std::uint64_t loaded_bytes = 0;
  };
  Mark now(std::string_view part);
  void give_back(Mark& mark);
  double between(const Mark& begin, const Mark& end) const;

  std::atomic<bool> enabled_ = false;
  device::Device* device_ = nullptr;
  device::Gpu* gpu_ = nullptr;
  std::vector<std::unique_ptr<device::Event>> free_events_;
  std::vector<Mark> marks_;  // of the step under way; the last one is its end
  std::optional<Mark> last_end_;
  double clock_ = 0;  // seconds since the first step's begin, at last_end_
  ProfiledStep step_;

  std::mutex mutex_;
  std::vector<ProfiledStep> done_;
};

}  // namespace isotope::ops
