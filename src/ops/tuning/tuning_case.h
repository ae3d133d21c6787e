// What `isotope tune` tries: a kernel at a shape, with inputs to run it on and a way to judge what
// comes out. Ops make them (linear_tuning.h, attention_tuning.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ops/context.h"
#include "ops/tuning/tuning.h"

namespace isotope::ops {

class TuningCase {
 public:
  virtual ~TuningCase() = default;
  /// For people: "gate_up, 32 rows decode".
  virtual std::string name() const = 0;
  /// Where in the table it stands, and what may be chosen there.
  virtual TuningSpace space() const = 0;
  /// What a call must read and compute at least.
  virtual double bytes() const = 0;
  virtual double flops() const = 0;

  /// Memory for inputs and outputs, and random inputs in it; release() gives it back.
  virtual void prepare() = 0;
  virtual void release() = 0;
  /// Queues one call. Unlike the others it may be called without prepare() while the kernel library
  /// is recording.
  virtual void call() = 0;
  /// Queues so many calls that each finds its data in memory, not in a cache. Returns how many.
  virtual std::int64_t call_often() = 0;
  /// The output of one call on fresh memory.
  virtual std::vector<std::byte> output() = 0;
  /// How far a sample of an output is from its definition in double precision: at most 1 where
  /// rounding explains it.
  virtual double error(const std::vector<std::byte>& output) const = 0;
  /// The greatest difference between two outputs in units of what another order of sums may cause:
  /// at most 1 if both are right.
  virtual double difference(const std::vector<std::byte>& a,
                            const std::vector<std::byte>& b) const = 0;
};

using TuningCases = std::vector<std::unique_ptr<TuningCase>>;

/// The numbers of rows for which cases are made; each stands for its bucket.
struct TuningRows {
  std::vector<std::int64_t> decode, prefill;
};

}  // namespace isotope::ops
