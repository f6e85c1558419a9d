/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_MEMREP_PAGE_STORE_H
#define HAVEN_MEMREP_PAGE_STORE_H

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/threads.h"
#include "core/records.h"
#include "core/status.h"

namespace haven::memrep {

class StoreLease;

/// The backup's pages that guests of one group share: a bounded number of
/// slots, each filled at most once and never changed afterwards, so that a
/// reference to one means the same whenever it is followed. Which session may
/// fill a slot is decided here, not by the primary: no two ever fill the same.
/// Thread-safe.
class PageStore : public std::enable_shared_from_this<PageStore> {
 public:
  /// Slots that are not filled take no memory.
  /// @return kEnvironment with errno.
  static Result<std::shared_ptr<PageStore>> Create(uint32_t slots);
  ~PageStore();
  PageStore(const PageStore&) = delete;
  PageStore& operator=(const PageStore&) = delete;

  /// Names this store among all that there ever were.
  const wire::Token& instance() const { return instance_; }
  uint32_t slots() const { return static_cast<uint32_t>(filled_.size()); }
  /// @return kPageBytes octets that stay as they are as long as the store, or nullptr: not filled, or no such slot.
  const uint8_t* Find(uint32_t slot) const;
  /// Half of the slots that are free side by side, for one session: the first one has most to keep.
  std::unique_ptr<StoreLease> Lease();

 private:
  friend class StoreLease;
  struct Range {
    uint32_t first, count;
  };

  explicit PageStore(uint32_t slots);
  void Fill(uint32_t slot, const uint8_t* page);
  void Return(Range range);

  const wire::Token instance_;
  uint8_t* arena_ = nullptr;
  std::vector<std::atomic<bool>> filled_;
  Mutex mutex_;  ///< guards what follows
  std::vector<Range> free_;
};

/// What one session may do with a store: fill slots of its own, read all. Keeps
/// the store; slots that it did not fill are free again after it.
/// Thread: one at a time, except Keep().
class StoreLease {
 public:
  ~StoreLease();
  StoreLease(const StoreLease&) = delete;
  StoreLease& operator=(const StoreLease&) = delete;

  const PageStore& store() const { return *store_; }
  /// The slots that are this session's.
  uint32_t first() const { return range_.first; }
  uint32_t count() const { return range_.count; }

  /// Sets a slot aside for Keep().
  /// @return false: it is not this session's, or was taken before.
  bool Take(uint32_t slot);
  /// Fills a slot that was taken; once for each. Any thread, each with slots of its own.
  void Keep(uint32_t slot, const uint8_t* page) { store_->Fill(slot, page); }

 private:
  friend class PageStore;
  StoreLease(std::shared_ptr<PageStore> store, PageStore::Range range);

  const std::shared_ptr<PageStore> store_;
  const PageStore::Range range_;
  std::vector<bool> taken_;
};

}  // namespace haven::memrep

#endif
