/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_LINK_RATE_H
#define HAVEN_SESSION_LINK_RATE_H

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace haven::session {

/// What a link carries, from samples of which a few are far off. Thread: one at a time.
class LinkRate {
 public:
  /// @param bytes_per_second  0, unknown, is passed over.
  void Add(uint64_t bytes_per_second) {
    if (bytes_per_second != 0) samples_[added_++ % samples_.size()] = bytes_per_second;
  }
  /// The median of the last samples, octets a second; 0: there is none yet.
  uint64_t Median() const {
    auto sorted = samples_;
    auto end = sorted.begin() + static_cast<std::ptrdiff_t>(std::min(added_, sorted.size()));
    auto middle = sorted.begin() + (end - sorted.begin()) / 2;
    std::nth_element(sorted.begin(), middle, end);
    return end == sorted.begin() ? 0 : *middle;
  }

 private:
  std::array<uint64_t, 9> samples_{};
  size_t added_ = 0;
};

}  // namespace haven::session

#endif
