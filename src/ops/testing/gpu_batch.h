// Test support: batches and cache layers in a GPU's memory.
#pragma once

#include "ops/testing/gpu_machine.h"
#include "ops/testing/paged_batch.h"

namespace isotope::ops::testing {

inline Batch upload(GpuMachine& machine, const Batch& host) {
  Batch batch = host;
  for (TensorView* tensor : {&batch.token_ids, &batch.positions, &batch.slots, &batch.row_seq,
                             &batch.seq_begin, &batch.context_lens, &batch.block_tables})
    *tensor = machine.upload(*tensor);
  return batch;
}

inline KvLayer upload(GpuMachine& machine, const KvLayer& host) {
  KvLayer layer = host;
  for (TensorView* tensor : {&layer.k, &layer.v, &layer.k_scale, &layer.v_scale})
    if (!tensor->empty()) *tensor = machine.upload(*tensor);
  return layer;
}

}  // namespace isotope::ops::testing
