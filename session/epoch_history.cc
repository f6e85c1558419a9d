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
  wire_bytes_ += figures.wire_bytes;
}

Quantiles EpochHistory::Of(microseconds EpochFigures::*figure) const {
  if (ring_.empty()) return {};
  std::vector<uint64_t> values;
  values.reserve(ring_.size());
  for (const EpochFigures& one : ring_) values.push_back(static_cast<uint64_t>((one.*figure).count()));
  std::sort(values.begin(), values.end());
  return {values[values.size() / 2], values[values.size() * 99 / 100], values.back()};
}

void EpochHistory::Summarise(PrimaryStatus& status) const {
  status.epochs = count_;
  status.pause_us = Of(&EpochFigures::pause);
  status.settle_us = Of(&EpochFigures::settle);
  status.stop_us = Of(&EpochFigures::stop);
  status.device_us = Of(&EpochFigures::device);
  status.harvest_us = Of(&EpochFigures::harvest);
  status.copy_us = Of(&EpochFigures::copy);
  status.resume_us = Of(&EpochFigures::resume);
  status.commit_us = Of(&EpochFigures::commit);
  status.dirty_pages_last = last_.pages;
  status.dirty_pages_total = pages_;
  status.wire_bytes_last = last_.wire_bytes;
  status.encoder_last = last_.encoder;
  status.decode_last = last_.decode;
  status.apply_last = last_.apply;
  status.memory_wire_bytes += wire_bytes_;
}

}  // namespace haven::session
