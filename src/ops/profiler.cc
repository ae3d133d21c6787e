#include "ops/profiler.h"

#include <utility>

#include "base/error.h"

namespace isotope::ops {

std::vector<ProfiledStep> Profiler::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(done_, {});
}

void Profiler::begin_step(device::Device& device, std::int64_t rows, std::int64_t decode_rows) {
  ISOTOPE_ASSERT(!device_ || device_ == &device);
  device_ = &device;
  gpu_ = device.kind() == device::Kind::cpu ? nullptr : static_cast<device::Gpu*>(&device);
  step_ = {};
  step_.rows = rows;
  step_.decode_rows = decode_rows;
}

void Profiler::mark(std::string_view part) { marks_.push_back(now(part)); }

void Profiler::end_parts() { marks_.push_back(now({})); }

Profiler::Mark Profiler::now(std::string_view part) {
  Mark mark;
  mark.part = part;
  if (!gpu_) {
    mark.time = Clock::now();
    return mark;
  }
  if (free_events_.empty()) {
    mark.event = gpu_->create_event();
  } else {
    mark.event = std::move(free_events_.back());
    free_events_.pop_back();
  }
  gpu_->record(*mark.event);
  if (gpu_->counted_work()) {
    gpu_->stream().synchronize();  // what counts has no time that this could spoil
    mark.loaded_bytes = gpu_->counted_work()->loaded_bytes;
  }
  return mark;
}

void Profiler::give_back(Mark& mark) {
  if (mark.event) free_events_.push_back(std::move(mark.event));
}

double Profiler::between(const Mark& begin, const Mark& end) const {
  if (gpu_) return double(gpu_->elapsed_ms(*begin.event, *end.event)) * 1e-3;
  return std::chrono::duration<double>(end.time - begin.time).count();
}

void Profiler::end_step() {
  if (last_end_) {
    step_.idle_before = between(*last_end_, marks_.front());
    clock_ += *step_.idle_before;
  }
  for (std::size_t i = 0; i + 1 < marks_.size(); ++i) {
    const double seconds = between(marks_[i], marks_[i + 1]);
    step_.parts.push_back(
        {marks_[i].part, clock_, seconds, marks_[i + 1].loaded_bytes - marks_[i].loaded_bytes});
    step_.seconds += seconds;
    clock_ += seconds;
  }
  if (last_end_) give_back(*last_end_);
  last_end_ = std::move(marks_.back());
  marks_.pop_back();
  for (Mark& mark : marks_) give_back(mark);
  marks_.clear();
  const std::lock_guard lock(mutex_);
  done_.push_back(std::exchange(step_, {}));
}

void Profiler::leave_device() {
  abandon();
  free_events_.clear();
  device_ = nullptr;
  gpu_ = nullptr;
}

void Profiler::abandon() {
  marks_.clear();
  last_end_.reset();
}

}  // namespace isotope::ops
