/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_RECENT_PEAK_H
#define HAVEN_SESSION_RECENT_PEAK_H

#include <algorithm>
#include <cstdint>

#include "core/clock.h"

namespace haven::session {

/// The largest of the values of the last 20 to 40 seconds. Callers serialise.
class RecentPeak {
 public:
  uint64_t Note(Instant now, uint64_t value) {
    if (now - begin_ >= kWindow) {
      before_ = now - begin_ < 2 * kWindow ? current_ : 0;
      current_ = 0;
      begin_ = now;
    }
    current_ = std::max(current_, value);
    return std::max(before_, current_);
  }

 private:
  static constexpr std::chrono::seconds kWindow{20};

  Instant begin_{};
  uint64_t before_ = 0;   ///< of the window that has ended
  uint64_t current_ = 0;  ///< of this one
};

}  // namespace haven::session

#endif
