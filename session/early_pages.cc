// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/early_pages.h"

#include <algorithm>
#include <utility>

namespace haven::session {

EarlyPages::EarlyPages(const std::vector<memrep::MemoryRegion>& regions) {
  for (const auto& region : regions) again_.emplace_back(region.bitmap_words());
  found_ = kept_ = again_;
}

void EarlyPages::Look(PageSets& written) {
  looked_ = true;
  for (size_t r = 0; r < written.size(); r++) {
    for (size_t i = 0; i < written[r].size(); i++) {
      uint64_t& pages = written[r][i];
      if (pages == 0) continue;
      found_[r][i] |= pages;
      kept_[r][i] |= pages & again_[r][i];
      pages &= ~again_[r][i];
    }
  }
}

void EarlyPages::Keep(const PageSets& pages) {
  for (size_t r = 0; r < pages.size(); r++) {
    for (size_t i = 0; i < pages[r].size(); i++) kept_[r][i] |= pages[r][i];
  }
}

void EarlyPages::End(PageSets& written) {
  if (!std::exchange(looked_, false)) return;
  for (size_t r = 0; r < written.size(); r++) {
    for (size_t i = 0; i < written[r].size(); i++) {
      const uint64_t found = std::exchange(found_[r][i], 0);
      again_[r][i] = (again_[r][i] & ~found) | (written[r][i] & found);
      written[r][i] |= std::exchange(kept_[r][i], 0);
    }
  }
}

void EarlyPages::Forget() {
  looked_ = false;
  for (PageSets* sets : {&found_, &kept_}) {
    for (auto& set : *sets) std::fill(set.begin(), set.end(), 0);
  }
}

}  // namespace haven::session
