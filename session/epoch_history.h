/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_EPOCH_HISTORY_H
#define HAVEN_SESSION_EPOCH_HISTORY_H

#include <vector>

#include "session/primary_status.h"

namespace haven::session {

/// The figures of the last epochs, for `haven status`. Callers serialise.
class EpochHistory {
 public:
  static constexpr size_t kKept = 4096;

  void Add(const EpochFigures& figures);
  /// Fills the quantiles and the figures of the last epoch.
  void Summarise(PrimaryStatus& status) const;

 private:
  struct Quantiles {
    uint64_t p50 = 0, p99 = 0, max = 0;
  };

  Quantiles Of(microseconds EpochFigures::*figure) const;

  std::vector<EpochFigures> ring_;
  size_t next_ = 0;
  uint64_t count_ = 0, pages_ = 0, early_pages_ = 0, wire_bytes_ = 0;
  EpochFigures last_;
};

}  // namespace haven::session

#endif
