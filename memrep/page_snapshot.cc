// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/page_snapshot.h"

#include <algorithm>
#include <bit>
#include <sys/mman.h>

#include "core/assert.h"

namespace haven::memrep {

PageSnapshot::PageSnapshot(const std::vector<MemoryRegion>& regions) : regions_(regions) {
  for (uint32_t i = 0; i < regions_.size(); i++) {
    arena_pages_ += regions_[i].pages();
    groups_.push_back({i, {}});
  }
  // Address space for the worst case; only what is used ever gets memory.
  void* arena = mmap(nullptr, std::max<uint64_t>(arena_pages_, 1) * kPageBytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  HAVEN_ASSERT(arena != MAP_FAILED);
  arena_ = static_cast<uint8_t*>(arena);
}

PageSnapshot::~PageSnapshot() { munmap(arena_, std::max<uint64_t>(arena_pages_, 1) * kPageBytes); }

void PageSnapshot::Reserve(uint64_t pages) {
  pages = std::min(pages, arena_pages_);
  for (; warm_pages_ < pages; warm_pages_++) arena_[warm_pages_ * kPageBytes] = 0;
  for (Group& group : groups_) group.pages.reserve(std::min(pages, regions_[group.region].pages()));
}

void PageSnapshot::Clear() {
  warm_pages_ = std::max(warm_pages_, page_count_);
  page_count_ = 0;
  for (Group& group : groups_) group.pages.clear();
}

void PageSnapshot::Copy(uint32_t region_index, std::span<const uint64_t> bitmap) {
  const MemoryRegion& region = regions_[region_index];
  Group& group = groups_[region_index];
  uint64_t run_start = 0;
  uint64_t run = 0;  // neighbours are copied in one go
  for (uint64_t word = 0; word < bitmap.size(); word++) {
    for (uint64_t bits = bitmap[word]; bits != 0; bits &= bits - 1) {
      uint64_t page = word * 64 + static_cast<uint64_t>(std::countr_zero(bits));
      if (page >= region.pages()) break;
      if (run != 0 && page == run_start + run) {
        run++;
        continue;
      }
      CopyRun(group, region, run_start, run);
      run_start = page;
      run = 1;
    }
  }
  CopyRun(group, region, run_start, run);
}

void PageSnapshot::CopyRun(Group& group, const MemoryRegion& region, uint64_t first, uint64_t count) {
  if (count == 0) return;
  HAVEN_ASSERT(page_count_ + count <= arena_pages_);
  uint8_t* to = arena_ + page_count_ * kPageBytes;
  memcpy(to, region.host + first * kPageBytes, count * kPageBytes);
  for (uint64_t i = 0; i < count; i++) group.pages.push_back({first + i, to + i * kPageBytes});
  page_count_ += count;
}

}  // namespace haven::memrep
