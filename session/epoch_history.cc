// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/epoch_history.h"

#include <algorithm>

namespace haven::session {

void EpochHistory::Add(const EpochFigures& figures) {
  if (ring_.size() < kKept) {
    ring_.push_back(figures);
  } else {
    ring_[next_] = figures;
    next_ = (next_ + 1) % kKept;
  }
  last_ = figures;
  count_++;
  pages_ += figures.pages;
  early_pages_ += figures.early_pages;
  wire_bytes_ += figures.wire_bytes;
}

EpochHistory::Quantiles EpochHistory::Of(microseconds EpochFigures::*figure) const {
  if (ring_.empty()) return {};
  std::vector<uint64_t> values;
  values.reserve(ring_.size());
  for (const EpochFigures& one : ring_) {
    if (one.*figure >= microseconds(0)) values.push_back(static_cast<uint64_t>((one.*figure).count()));
  }
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {values[values.size() / 2], values[values.size() * 99 / 100], values.back()};
}

void EpochHistory::Summarise(PrimaryStatus& status) const {
#define HAVEN_SUMMARISE(name)                          \
  const Quantiles of_##name = Of(&EpochFigures::name); \
  status.name##_p50_us = of_##name.p50;                \
  status.name##_p99_us = of_##name.p99;
  HAVEN_EPOCH_TIMES(HAVEN_SUMMARISE)
#undef HAVEN_SUMMARISE
  status.pause_max_us = of_pause.max;
  status.epochs = count_;
  status.dirty_pages_last = last_.pages;
  status.dirty_pages_total = pages_;
  status.early_pages_total = early_pages_;
  status.wire_bytes_last = last_.wire_bytes;
  status.memory_wire_bytes += wire_bytes_;
  status.encoder_unchanged_pages = last_.encoder.unchanged;
  status.encoder_changed_blocks = last_.encoder.changed_blocks;
  status.encoder_bytes_after_blocks = last_.encoder.bytes_after_blocks;
  status.encoder_bytes_after_sharing = last_.encoder.bytes_after_sharing;
  status.encoder_bytes = last_.encoder.bytes;
  status.encoder_cache_hits = last_.encoder.cache_hits;
  status.encoder_cache_misses = last_.encoder.cache_misses;
  status.encoder_us = last_.encoder.encode_ns / 1000;
  status.encoder_compress_us = last_.encoder.compress_ns / 1000;
  status.encoder_shared_pages = last_.encoder.shared;
  status.decode_us = static_cast<uint64_t>(last_.decode.count());
  status.apply_us = static_cast<uint64_t>(last_.apply.count());
}

}  // namespace haven::session
