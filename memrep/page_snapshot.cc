// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/page_snapshot.h"

#include <algorithm>
#include <bit>
#include <sys/mman.h>

#include "core/assert.h"

namespace haven::memrep {
namespace {

/// What one worker copies in one go: 1 MiB.
constexpr size_t kPartPages = 256;

}  // namespace

PageSnapshot::PageSnapshot(const std::vector<MemoryRegion>& regions, WorkerPool* workers)
    : regions_(regions), workers_(workers) {
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
  size_t first = group.pages.size();
  for (uint64_t word = 0; word < bitmap.size(); word++) {
    for (uint64_t bits = bitmap[word]; bits != 0; bits &= bits - 1) {
      uint64_t page = word * 64 + static_cast<uint64_t>(std::countr_zero(bits));
      if (page >= region.pages()) break;
      HAVEN_ASSERT(page_count_ < arena_pages_);
      group.pages.push_back({page, arena_ + page_count_++ * kPageBytes});
    }
  }
  size_t count = group.pages.size() - first;
  if (workers_ == nullptr || count < kManyPages) return CopyPages(group, first, group.pages.size());
  workers_->Run((count + kPartPages - 1) / kPartPages, [&](unsigned, size_t part) {
    size_t begin = first + part * kPartPages;
    CopyPages(group, begin, std::min(begin + kPartPages, group.pages.size()));
  });
}

void PageSnapshot::CopyPages(const Group& group, size_t first, size_t end) {
  const uint8_t* host = regions_[group.region].host;
  while (first < end) {
    const PageRef& page = group.pages[first];
    size_t run = 1;  // neighbours are copied in one go
    while (first + run < end && group.pages[first + run].index == page.index + run) run++;
    memcpy(arena_ + (page.data - arena_), host + page.index * kPageBytes, run * kPageBytes);
    first += run;
  }
}

}  // namespace haven::memrep
