/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_HARVEST_POLICY_H
#define HAVEN_SESSION_HARVEST_POLICY_H

#include <algorithm>
#include <cstdint>

#include "memrep/encoder_options.h"
#include "session/guest.h"

namespace haven::session {

/// Forgetting costs the guest a trap at the next write to each page, and under Xen one at the next
/// access of any kind; keeping costs a copy in the pause and a comparison after it for each page
/// that was not written again. So the record is kept while it consists mostly of pages that are.
class HarvestPolicy {
 public:
  /// @param compares  the encoder finds out which pages are as they were.
  explicit HarvestPolicy(bool compares) : compares_(compares) {}

  AfterHarvest Next() const { return next_; }

  void Note(const memrep::EncoderFigures& epoch) {
    const uint64_t changed = epoch.run + epoch.delta;
    const uint64_t seen_through = epoch.unchanged + changed + epoch.zero + epoch.sparse;
    // A page of which the encoder has no copy would travel each time.
    const bool whole_are_few = epoch.pages - std::min(seen_through, epoch.pages) <= std::max(kFewWhole, changed / 4);
    const bool pays = compares_ && whole_are_few && epoch.unchanged <= std::max(kFewUnchanged, changed);
    next_ = pays ? AfterHarvest::kKeep : AfterHarvest::kForget;
  }

 private:
  static constexpr uint64_t kFewUnchanged = 256;  ///< 1 MiB to copy: about a tenth of a millisecond
  static constexpr uint64_t kFewWhole = 32;

  bool compares_;
  AfterHarvest next_ = AfterHarvest::kForget;
};

}  // namespace haven::session

#endif
