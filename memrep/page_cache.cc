// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/page_cache.h"

#include <algorithm>
#include <bit>
#include <sys/mman.h>

#include "core/assert.h"

namespace haven::memrep {
namespace {

constexpr uint64_t kHugePageBytes = 2u << 20;
constexpr uint64_t kMaxSlots = 1u << 30;

}  // namespace

PageCache::PageCache(uint64_t bytes) {
  uint64_t slots = std::clamp<uint64_t>(bytes / kPageBytes, 1, kMaxSlots);
  sets_ = static_cast<uint32_t>(std::bit_floor(std::max<uint64_t>(slots / 4, 1)));
  set_bits_ = static_cast<uint32_t>(std::countr_zero(sets_));
  ways_ = static_cast<uint32_t>(std::min<uint64_t>(slots / sets_, kMaxWays));
  keys_.resize(sets_);
  states_.resize(sets_);
  Clear();
  arena_bytes_ = uint64_t{sets_} * ways_ * kPageBytes;
  // Gets memory as it fills. Huge pages, since its order of use is random.
  void* arena = mmap(nullptr, arena_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  HAVEN_ASSERT(arena != MAP_FAILED);
  if (arena_bytes_ >= kHugePageBytes) (void)madvise(arena, arena_bytes_, MADV_HUGEPAGE);
  arena_ = static_cast<uint8_t*>(arena);
}

PageCache::~PageCache() { munmap(arena_, arena_bytes_); }

uint32_t PageCache::Find(PageKey key) const {
  uint32_t set = SetIndex(key);
  const Keys& keys = keys_[set];
  for (uint32_t way = 0; way < ways_; way++) {
    if (keys.of[way] == key) return way << set_bits_ | set;
  }
  return kNoSlot;
}

uint32_t PageCache::Admit(PageKey key) {
  uint32_t set = SetIndex(key);
  Keys& keys = keys_[set];
  States& states = states_[set];
  uint32_t worst = 0;
  for (uint32_t way = 0; way < ways_; way++) {
    if (keys.of[way] == kFree) {
      worst = way;
      break;
    }
    if (states.of[way].worth < states.of[worst].worth) worst = way;
  }
  if (keys.of[worst] != kFree && states.of[worst].worth > 0) {
    states.of[worst].worth--;  // gives way in the end, if it does not pay again
    return kNoSlot;
  }
  keys.of[worst] = key;
  states.of[worst] = {};
  return worst << set_bits_ | set;
}

void PageCache::Clear() {
  for (Keys& keys : keys_) std::fill(std::begin(keys.of), std::end(keys.of), kFree);
}

ContentIndex::ContentIndex(uint32_t slots)
    : shift_(static_cast<unsigned>(64 - std::bit_width(std::max(slots, 2u)))), slots_(size_t{1} << (64 - shift_)) {
  Clear();
}

void ContentIndex::Clear() { std::fill(slots_.begin(), slots_.end(), PageCache::kNoSlot); }

uint64_t SampleHash(const uint8_t* page) {
  // One word of every eighth block, each at another place in its block.
  uint64_t hash = 0x9AE16A3B2F90404Full;
  for (size_t i = 0; i < 8; i++) {
    uint64_t word;
    memcpy(&word, page + i * (kPageBytes / 8) + i * 64 + i * 8, sizeof(word));
    hash = (hash ^ word) * 0xD6E8FEB86659FD93ull;
    hash ^= hash >> 32;
  }
  return hash;
}

}  // namespace haven::memrep
