/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_MEMREP_PAGE_CACHE_H
#define HAVEN_MEMREP_PAGE_CACHE_H

#include <cstdint>
#include <vector>

#include "core/bytes.h"
#include "core/epoch.h"

namespace haven::memrep {

/// Names a page of the guest: region << 56 | index.
using PageKey = uint64_t;
constexpr PageKey MakePageKey(uint32_t region, uint64_t index) { return uint64_t{region} << 56 | index; }

/// Copies of pages as the backup has them, in a bounded amount of memory. A
/// page has one of 8 places in its first set, or in its second, which is
/// another for each of the pages that share the first. A place that pays (its page was
/// dirty again, and little of it had changed) is not given away to a page that
/// was dirty once. What it costs to use does not depend on the guest's size.
/// Thread: one at a time.
class PageCache {
 public:
  static constexpr uint32_t kNoSlot = ~0u;
  static constexpr PageKey kNoKey = ~uint64_t{0};                ///< no region has that many pages
  static constexpr PageKey kNoRegion = (uint64_t{1} << 56) - 1;  ///< mask: the index of a key

  /// What a slot knows of its page.
  enum class Content : uint8_t {
    kUnknown,  ///< only that it is dirty often, and wholly
    kZero,     ///< zeros; Data() is not kept
    kCopy,     ///< Data()
  };
  struct State {
    uint8_t worth = 0;      ///< against being replaced
    uint8_t fails = 0;      ///< in a row: changes too large for a delta
    uint8_t skip : 7 = 0;   ///< how often to leave it alone from now on
    uint8_t plain : 1 = 0;  ///< it travelled whole and as it is the last time
    Content content = Content::kUnknown;
  };

  /// @param bytes  of copies; rounded down to whole pages, at least one.
  explicit PageCache(uint64_t bytes);
  ~PageCache();
  PageCache(const PageCache&) = delete;
  PageCache& operator=(const PageCache&) = delete;

  /// @return the slot of the page, or kNoSlot.
  uint32_t Find(PageKey key) const;
  /// Gives a page, which is not in the cache, a slot with content kUnknown.
  /// @return kNoSlot when those of its set are worth more.
  uint32_t Admit(PageKey key);
  /// Forgets all.
  void Clear();

  PageKey KeyOf(uint32_t slot) const { return keys_[slot]; }
  State& StateOf(uint32_t slot) { return slots_[slot].state; }
  uint8_t* Data(uint32_t slot) { return arena_ + uint64_t{slots_[slot].frame} * kPageBytes; }
  /// Asks the processor for what Find(key) will read.
  void Prefetch(PageKey key) const { __builtin_prefetch(&keys_[FirstSet(key) * kWays]); }
  /// ... and for what StateOf(slot) and Data(slot) will.
  void PrefetchSlot(uint32_t slot) const { __builtin_prefetch(&slots_[slot]); }

  /// Numbers that a slot can have are below this.
  uint32_t slots() const { return sets_ * kWays; }

 private:
  static constexpr uint32_t kWays = 8;
  static constexpr PageKey kFree = kNoKey;
  static constexpr PageKey kNever = ~uint64_t{1};  // nor that many

  void BeginStale();
  void LeaveStale();
  uint32_t FirstSet(PageKey key) const { return static_cast<uint32_t>(key + (key >> 56) * 0x9E3779B1u) % sets_; }
  uint32_t SecondSet(PageKey key) const { return static_cast<uint32_t>(key * 0x9E3779B97F4A7C15ull >> 32) % sets_; }

  uint32_t sets_ = 1;
  uint32_t ways_ = kWays;    ///< fewer only in a cache of less than 8 pages
  PageKey* keys_ = nullptr;  ///< a cache line for each set
  std::vector<PageKey> key_memory_;
  struct Slot {
    State state;
    /// Where in the arena its copy is: in the order in which pages came. Those that
    /// were dirty together will be again, and are then read one after the other.
    uint32_t frame = 0;
  };
  std::vector<Slot> slots_;
  uint32_t used_frames_ = 0;
  uint8_t* arena_ = nullptr;
  uint64_t arena_bytes_ = 0;
};

/// Finds a slot by what its page contains. Holds candidates only: what it
/// finds has to be compared. Thread: one at a time.
class ContentIndex {
 public:
  explicit ContentIndex(uint32_t slots);

  uint32_t Find(uint64_t hash) const { return slots_[Place(hash)]; }
  void Put(uint64_t hash, uint32_t slot) { slots_[Place(hash)] = slot; }
  void Clear();

 private:
  size_t Place(uint64_t hash) const { return hash * 0x9E3779B97F4A7C15ull >> shift_; }

  unsigned shift_;
  std::vector<uint32_t> slots_;
};

/// Where a page is sampled: a word of every eighth block, each at another
/// place in its block.
constexpr size_t kSamples = 8;
constexpr size_t SampleOffset(size_t i) { return i * (kPageBytes / kSamples + 64 + 8); }

/// A hash of some words of a page, from all over it: cheap, and equal pages
/// have the same.
uint64_t SampleHash(const uint8_t* page);

}  // namespace haven::memrep

#endif
