// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/page_snapshot.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <sys/mman.h>
#include <system_error>

#include "core/assert.h"

namespace haven::memrep {
namespace {

/// What one worker copies in one go: 1 MiB.
constexpr size_t kPartPages = 256;
/// Memory is asked for in pieces of so many: 4 MiB.
constexpr uint64_t kPiecePages = 1024;

uint64_t WholePieces(uint64_t pages) { return (pages + kPiecePages - 1) / kPiecePages * kPiecePages; }

void* AddressSpace(void* at, uint64_t bytes) {
  return mmap(at, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (at != nullptr ? MAP_FIXED : 0), -1,
              0);
}

}  // namespace

PageSnapshot::PageSnapshot(const std::vector<MemoryRegion>& regions, WorkerPool* workers)
    : regions_(regions), workers_(workers) {
  for (uint32_t i = 0; i < regions_.size(); i++) {
    arena_pages_ += regions_[i].pages();
    groups_.push_back({i, {}});
  }
  const uint64_t bytes = std::max<uint64_t>(arena_pages_, 1) * kPageBytes;
  void* arena = AddressSpace(nullptr, bytes);
  if (arena == MAP_FAILED) {
    throw std::system_error(
        errno, std::generic_category(),
        "no address space for copies of the guest's memory (" + std::to_string(bytes >> 20) + " MiB; see ulimit -v)");
  }
  arena_ = static_cast<uint8_t*>(arena);
}

PageSnapshot::~PageSnapshot() { munmap(arena_, std::max<uint64_t>(arena_pages_, 1) * kPageBytes); }

Status PageSnapshot::Grow(uint64_t pages) {
  if (pages <= room_pages_) return Status::Ok();
  const uint64_t wanted = std::min(arena_pages_, WholePieces(pages));
  uint8_t* from = arena_ + room_pages_ * kPageBytes;
  if (mprotect(from, (wanted - room_pages_) * kPageBytes, PROT_READ | PROT_WRITE) != 0) {
    return Status::FromErrno(errno, "no memory for copies of " + std::to_string(pages * kPageBytes >> 20) +
                                        " MiB that the guest has written (see vm.overcommit_memory)");
  }
  room_pages_ = wanted;
  return Status::Ok();
}

void PageSnapshot::Shrink(uint64_t pages) {
  pages = WholePieces(pages);
  if (pages >= room_pages_) return;
  // A new mapping: what was writable once counts as memory as long as it is there.
  if (AddressSpace(arena_ + pages * kPageBytes, (room_pages_ - pages) * kPageBytes) == MAP_FAILED) return;
  room_pages_ = pages;
  warm_pages_ = std::min(warm_pages_, pages);
  for (Group& group : groups_) group.pages.shrink_to_fit();
}

Status PageSnapshot::Reserve(uint64_t pages) {
  HAVEN_ASSERT(page_count_ == 0);
  pages = std::min(pages, arena_pages_);
  Shrink(pages);
  HAVEN_RETURN_IF_ERROR(Grow(pages));
  for (; warm_pages_ < pages; warm_pages_++) arena_[warm_pages_ * kPageBytes] = 0;
  for (Group& group : groups_) group.pages.reserve(std::min(pages, regions_[group.region].pages()));
  return Status::Ok();
}

void PageSnapshot::Clear() {
  warm_pages_ = std::max(warm_pages_, page_count_);
  page_count_ = 0;
  for (Group& group : groups_) group.pages.clear();
}

Status PageSnapshot::Copy(uint32_t region_index, std::span<const uint64_t> bitmap) {
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
  // Until here the copies are but addresses.
  if (const Status grown = Grow(page_count_); !grown.ok()) {
    group.pages.resize(first);
    page_count_ -= count;
    return grown;
  }
  if (workers_ == nullptr || count < kManyPages) {
    CopyPages(group, first, group.pages.size());
    return Status::Ok();
  }
  workers_->Run((count + kPartPages - 1) / kPartPages, [&](unsigned, size_t part) {
    size_t begin = first + part * kPartPages;
    CopyPages(group, begin, std::min(begin + kPartPages, group.pages.size()));
  });
  return Status::Ok();
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
