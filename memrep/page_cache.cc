// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/page_cache.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <sys/mman.h>
#include <system_error>

#include "core/failpoint.h"

namespace haven::memrep {
namespace {

constexpr uint64_t kHugePageBytes = 2u << 20;
constexpr uint64_t kMaxSlots = 1u << 30;

/// Of the break stale-encoder-after-reconnect: what the caches before knew.
struct Stale {
  PageKey key;
  PageCache::State state;
  Bytes page;
};
std::vector<Stale>& StalePages() {
  static std::vector<Stale> pages;
  return pages;
}

}  // namespace

PageCache::PageCache(uint64_t bytes) {
  uint64_t slots = std::clamp<uint64_t>(bytes / kPageBytes, 1, kMaxSlots);
  sets_ = static_cast<uint32_t>(std::max<uint64_t>(slots / kWays, 1));
  ways_ = static_cast<uint32_t>(std::min<uint64_t>(slots, kWays));
  key_memory_.resize(uint64_t{sets_} * kWays + kWays - 1);
  auto address = reinterpret_cast<uintptr_t>(key_memory_.data());
  keys_ = key_memory_.data() + (-address % (kWays * sizeof(PageKey))) / sizeof(PageKey);
  slots_.resize(uint64_t{sets_} * kWays);
  Clear();
  arena_bytes_ = uint64_t{sets_} * ways_ * kPageBytes;
  // Gets memory as it fills. Huge pages, since its order of use is random.
  void* arena = mmap(nullptr, arena_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (arena == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "copies of pages");
  if (arena_bytes_ >= kHugePageBytes) (void)madvise(arena, arena_bytes_, MADV_HUGEPAGE);
  arena_ = static_cast<uint8_t*>(arena);
  if (BreakRequested("stale-encoder-after-reconnect")) BeginStale();
}

PageCache::~PageCache() {
  if (BreakRequested("stale-encoder-after-reconnect")) LeaveStale();
  munmap(arena_, arena_bytes_);
}

void PageCache::BeginStale() {
  for (const Stale& stale : StalePages()) {
    const uint32_t slot = Admit(stale.key);
    if (slot == kNoSlot || slots_[slot].frame >= arena_bytes_ / kPageBytes) continue;
    StateOf(slot) = stale.state;
    std::copy(stale.page.begin(), stale.page.end(), Data(slot));
  }
}

void PageCache::LeaveStale() {
  StalePages().clear();
  for (uint32_t slot = 0; slot < slots(); slot++) {
    if (keys_[slot] >= kNever) continue;
    StalePages().push_back({keys_[slot], StateOf(slot), Bytes(Data(slot), Data(slot) + kPageBytes)});
  }
}

uint32_t PageCache::Find(PageKey key) const {
  for (uint32_t set : {FirstSet(key), SecondSet(key)}) {
    const PageKey* keys = keys_ + set * kWays;
    for (uint32_t way = 0; way < kWays; way++) {
      if (keys[way] == key) return set * kWays + way;
    }
  }
  return kNoSlot;
}

uint32_t PageCache::Admit(PageKey key) {
  uint32_t worst = kNoSlot;
  for (uint32_t set : {FirstSet(key), SecondSet(key)}) {
    for (uint32_t slot = set * kWays; slot < set * kWays + ways_; slot++) {
      if (keys_[slot] == kFree) {
        keys_[slot] = key;
        slots_[slot] = {{}, used_frames_++};
        return slot;
      }
      if (worst == kNoSlot || slots_[slot].state.worth < slots_[worst].state.worth) worst = slot;
    }
  }
  if (slots_[worst].state.worth > 0) {
    slots_[worst].state.worth--;  // gives way in the end, if it does not pay again
    return kNoSlot;
  }
  keys_[worst] = key;
  slots_[worst].state = {};
  return worst;
}

void PageCache::Clear() {
  for (uint32_t slot = 0; slot < sets_ * kWays; slot++) keys_[slot] = slot % kWays < ways_ ? kFree : kNever;
  used_frames_ = 0;
}

ContentIndex::ContentIndex(uint32_t slots)
    : shift_(static_cast<unsigned>(64 - std::bit_width(std::max(slots, 2u)))), slots_(size_t{1} << (64 - shift_)) {
  Clear();
}

void ContentIndex::Clear() { std::fill(slots_.begin(), slots_.end(), PageCache::kNoSlot); }

uint64_t SampleHash(const uint8_t* page) {
  uint64_t hash = 0x9AE16A3B2F90404Full;
  for (size_t i = 0; i < kSamples; i++) {
    uint64_t word;
    memcpy(&word, page + SampleOffset(i), sizeof(word));
    hash = (hash ^ word) * 0xD6E8FEB86659FD93ull;
    hash ^= hash >> 32;
  }
  return hash;
}

}  // namespace haven::memrep
