// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/page_store.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/mman.h>

#include "core/assert.h"
#include "core/epoch.h"
#include "core/random_token.h"

namespace haven::memrep {
PageStore::PageStore(uint32_t slots) : instance_(RandomToken()), filled_(slots), free_{{0, slots}} {}

Result<std::shared_ptr<PageStore>> PageStore::Create(uint32_t slots) {
  HAVEN_ASSERT(slots > 0);
  std::shared_ptr<PageStore> store(new PageStore(slots));
  void* arena = mmap(nullptr, uint64_t{slots} * kPageBytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (arena == MAP_FAILED) return Status::FromErrno(errno, "cannot make room for pages that guests share");
  store->arena_ = static_cast<uint8_t*>(arena);
  return store;
}

PageStore::~PageStore() {
  if (arena_ != nullptr) munmap(arena_, uint64_t{slots()} * kPageBytes);
}

const uint8_t* PageStore::Find(uint32_t slot) const {
  if (slot >= slots() || !filled_[slot].load(std::memory_order_acquire)) return nullptr;
  return arena_ + uint64_t{slot} * kPageBytes;
}

void PageStore::Fill(uint32_t slot, const uint8_t* page) {
  HAVEN_ASSERT(slot < slots() && !filled_[slot].load(std::memory_order_relaxed));
  memcpy(arena_ + uint64_t{slot} * kPageBytes, page, kPageBytes);
  filled_[slot].store(true, std::memory_order_release);
}

std::unique_ptr<StoreLease> PageStore::Lease() {
  std::lock_guard lock(mutex_);
  Range range{0, 0};
  auto largest = std::max_element(free_.begin(), free_.end(), [](Range a, Range b) { return a.count < b.count; });
  if (largest != free_.end()) {
    range = {largest->first, (largest->count + 1) / 2};
    *largest = {range.first + range.count, largest->count - range.count};
    if (largest->count == 0) free_.erase(largest);
  }
  return std::unique_ptr<StoreLease>(new StoreLease(shared_from_this(), range));
}

void PageStore::Return(Range range) {
  // A primary fills its slots from the first on: what is left is at the end.
  uint32_t unfilled = 0;
  while (unfilled < range.count && !filled_[range.first + range.count - 1 - unfilled]) unfilled++;
  if (unfilled == 0) return;
  range = {range.first + range.count - unfilled, unfilled};
  std::lock_guard lock(mutex_);
  std::erase_if(free_, [&range](Range other) {
    bool joins = other.first + other.count == range.first || range.first + range.count == other.first;
    if (joins) range = {std::min(range.first, other.first), range.count + other.count};
    return joins;
  });
  free_.push_back(range);
}

StoreLease::StoreLease(std::shared_ptr<PageStore> store, PageStore::Range range)
    : store_(std::move(store)), range_(range), taken_(range.count) {}

StoreLease::~StoreLease() { store_->Return(range_); }

bool StoreLease::Take(uint32_t slot) {
  if (slot < range_.first || slot - range_.first >= range_.count || taken_[slot - range_.first]) return false;
  taken_[slot - range_.first] = true;
  return true;
}

}  // namespace haven::memrep
