// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/bench/memrep_pages.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <sys/mman.h>

#include "core/assert.h"

namespace haven::bench {
namespace {

constexpr char kProse[] =
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of "
    "foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the season of Light, ";

/// Writes `bytes` (a multiple of 8) octets of new content. A word that comes
/// out as it was is changed all the same: the load says how many change.
void Fill(uint8_t* to, size_t bytes, Content content, std::mt19937_64& random) {
  for (size_t at = 0; at < bytes; at += 8) {
    uint64_t old;
    memcpy(&old, to + at, 8);
    uint64_t word = 0;
    switch (content) {
      case Content::kZeros: break;
      case Content::kText: memcpy(&word, kProse + random() % (sizeof(kProse) - 9), 8); break;
      case Content::kPointers: word = 0xffff888000000000 | (random() & 0x0fffffff8); break;
      case Content::kRandom: word = random(); break;
    }
    if (word == old) word ^= 1 + (random() & 0xff);
    memcpy(to + at, &word, 8);
  }
}

/// What a page is before: mostly the content, as a heap of such objects is.
void FillBase(uint8_t* page, Content content, std::mt19937_64& random) {
  Fill(page, kPageBytes, content == Content::kZeros ? Content::kRandom : content, random);
}

void Change(uint8_t* page, const Load& load, std::mt19937_64& random) {
  if (load.words == 0) {
    size_t words = kPageBytes / 8 - load.changed_bytes / 8 + 1;
    Fill(page + 8 * (random() % words), load.changed_bytes, load.content, random);
    return;
  }
  std::vector<uint64_t> places;
  while (places.size() < load.words) {
    uint64_t place = random() % (kPageBytes / 8);
    if (std::find(places.begin(), places.end(), place) == places.end()) places.push_back(place);
  }
  for (uint64_t place : places) Fill(page + 8 * place, 8, load.content, random);
}

std::vector<uint64_t> Indices(const Load& load, std::mt19937_64& random) {
  uint64_t guest_pages = load.guest_bytes / kPageBytes;
  std::vector<uint64_t> indices;
  if (!load.spread) {
    for (uint64_t i = 0; i < load.pages; i++) indices.push_back(i);
    return indices;
  }
  while (indices.size() < load.pages) {
    for (uint64_t i = indices.size(); i < load.pages; i++) indices.push_back(random() % guest_pages);
    std::sort(indices.begin(), indices.end());
    indices.erase(std::unique(indices.begin(), indices.end()), indices.end());
  }
  return indices;
}

}  // namespace

const char* Name(Content content) {
  switch (content) {
    case Content::kZeros: return "zeros";
    case Content::kText: return "text";
    case Content::kPointers: return "pointers";
    case Content::kRandom: return "random";
  }
  HAVEN_ASSERT(false);
}

Arena::Arena(uint64_t bytes) : bytes_(bytes) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  HAVEN_ASSERT(data != MAP_FAILED);
  (void)madvise(data, bytes, MADV_HUGEPAGE);
  data_ = static_cast<uint8_t*>(data);
  memset(data_, 0, bytes);
}

Arena::~Arena() { munmap(data_, bytes_); }

DirtyPages::DirtyPages(const Load& load) : arenas_{Arena(load.pages * kPageBytes), Arena(load.pages * kPageBytes)} {
  std::mt19937_64 random(1);
  indices_ = Indices(load, random);
  for (uint64_t i = 0; i < count(); i++) {
    FillBase(page(0, i), load.content, random);
    memcpy(page(1, i), page(0, i), kPageBytes);
    Change(page(1, i), load, random);
    for (size_t at = 0; at < kPageBytes; at += 64) changed_blocks_ += memcmp(page(0, i) + at, page(1, i) + at, 64) != 0;
  }
}

std::vector<memrep::PageRef> DirtyPages::Refs(int version) {
  std::vector<memrep::PageRef> refs;
  for (uint64_t i = 0; i < count(); i++) refs.push_back({indices_[i], page(version, i)});
  return refs;
}

}  // namespace haven::bench
