/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_MEMREP_PAGE_SNAPSHOT_H
#define HAVEN_MEMREP_PAGE_SNAPSHOT_H

#include <string>
#include <vector>

#include "core/status.h"
#include "memrep/page_codec.h"
#include "memrep/worker_pool.h"

namespace haven::memrep {

/// A piece of guest memory in this process, see haven_region.
struct MemoryRegion {
  std::string name;
  uint8_t* host = nullptr;
  uint64_t bytes = 0;

  uint64_t pages() const { return bytes / kPageBytes; }
  uint64_t bitmap_words() const { return (pages() + 63) / 64; }
};

/// Copies of guest pages, made while the guest stands still, sent while it
/// runs again. The copy is the pause's main cost, so the memory that it goes
/// to is touched beforehand. Until then it is address space only, of which
/// nothing counts as memory, whatever vm.overcommit_memory says. Callers serialise.
class PageSnapshot {
 public:
  /// From so many pages of a region on, workers copy them together: below it
  /// waking them costs more than they save.
  static constexpr size_t kManyPages = 1024;

  /// @param workers  outlives it; nullptr: whoever calls Copy() is alone.
  /// Throws std::system_error when there is no address space.
  explicit PageSnapshot(const std::vector<MemoryRegion>& regions, WorkerPool* workers = nullptr);
  ~PageSnapshot();
  PageSnapshot(const PageSnapshot&) = delete;
  PageSnapshot& operator=(const PageSnapshot&) = delete;

  /// Makes room for `pages` without page faults later, and gives back what is more. Outside of the pause, when it is
  /// clear. @return kEnvironment: the system gives no more; there is less room then.
  Status Reserve(uint64_t pages);
  void Clear();
  /// Copies the pages of `region` whose bit is set.
  /// @param bitmap  MemoryRegion::bitmap_words() words; bits past the end are ignored.
  /// @return kEnvironment: the system gives no memory for the copies.
  Status Copy(uint32_t region, std::span<const uint64_t> bitmap);

  uint64_t page_count() const { return page_count_; }
  /// For how many pages there is room that was given to us as memory.
  uint64_t room() const { return room_pages_; }

  /// The copies of one region, in the order of their index.
  struct Group {
    uint32_t region;
    std::vector<PageRef> pages;
  };
  const std::vector<Group>& groups() const { return groups_; }

 private:
  Status Grow(uint64_t pages);
  void Shrink(uint64_t pages);
  /// Copies those at [first, end) of the group.
  void CopyPages(const Group& group, size_t first, size_t end);

  std::vector<MemoryRegion> regions_;
  WorkerPool* const workers_;
  uint8_t* arena_ = nullptr;
  uint64_t arena_pages_ = 0;
  uint64_t room_pages_ = 0;  ///< may be written
  uint64_t warm_pages_ = 0;
  uint64_t page_count_ = 0;
  std::vector<Group> groups_;
};

}  // namespace haven::memrep

#endif
