/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_RECENT_MEDIAN_H
#define HAVEN_SESSION_RECENT_MEDIAN_H

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace haven::session {

/// What is measured again and again, as samples of which a few are far off: of the last `kSamples` less than half.
/// Thread: one at a time.
template <size_t kSamples>
class RecentMedian {
 public:
  void Add(uint64_t sample) { samples_[added_++ % samples_.size()] = sample; }
  /// 0: there is none yet.
  uint64_t Median() const {
    auto sorted = samples_;
    auto end = sorted.begin() + static_cast<std::ptrdiff_t>(std::min(added_, sorted.size()));
    auto middle = sorted.begin() + (end - sorted.begin()) / 2;
    std::nth_element(sorted.begin(), middle, end);
    return end == sorted.begin() ? 0 : *middle;
  }

 private:
  std::array<uint64_t, kSamples> samples_{};
  size_t added_ = 0;
};

}  // namespace haven::session

#endif
