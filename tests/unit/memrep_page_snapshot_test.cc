// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/page_snapshot.h"

#include <map>
#include <random>

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::memrep;

TEST_GROUP(PageSnapshot) {
  std::vector<Bytes> memory{Bytes(130 * kPageBytes), Bytes(3 * kPageBytes)};
  std::vector<MemoryRegion> regions;

  void setup() override {
    std::mt19937 random(3);
    for (Bytes& region : memory) {
      for (size_t i = 0; i < region.size(); i += 64) region[i] = static_cast<uint8_t>(random());
      regions.push_back({"r", region.data(), region.size()});
    }
  }
  /// The copies are those of exactly the pages in `bitmap`, in order, and stay
  /// what they were when the guest goes on.
  void CheckCopies(const PageSnapshot& snapshot, uint32_t region, const std::vector<uint64_t>& bitmap,
                   const Bytes& then) {
    size_t at = 0;
    const auto& pages = snapshot.groups()[region].pages;
    for (uint64_t page = 0; page < regions[region].pages(); page++) {
      if ((bitmap[page / 64] >> page % 64 & 1) == 0) continue;
      CHECK(at < pages.size());
      CHECK_EQUAL(page, pages[at].index);
      MEMCMP_EQUAL(then.data() + page * kPageBytes, pages[at].data, kPageBytes);
      at++;
    }
    CHECK_EQUAL(at, pages.size());
  }
};

TEST(PageSnapshot, CopiesThePagesWhoseBitIsSet) {
  PageSnapshot snapshot(regions);
  std::mt19937_64 random(5);
  for (int round = 0; round < 20; round++) {
    snapshot.Clear();
    snapshot.Reserve(static_cast<uint64_t>(round) * 10);
    uint64_t few = random();
    for (int i = 0; i < 2; i++) few &= random();
    std::vector<uint64_t> bitmap{random(), few, random() & 3};
    Bytes then = memory[0];
    snapshot.Copy(0, bitmap);
    std::fill(memory[0].begin(), memory[0].end(), static_cast<uint8_t>(round));  // the guest goes on
    CheckCopies(snapshot, 0, bitmap, then);
    CHECK_EQUAL(0, snapshot.groups()[1].pages.size());
  }
}

TEST(PageSnapshot, IgnoresBitsBehindTheEndOfTheRegion) {
  PageSnapshot snapshot(regions);
  std::vector<uint64_t> all(3, ~uint64_t{0});
  snapshot.Copy(0, all);
  snapshot.Copy(1, std::vector<uint64_t>{~uint64_t{0}});
  CHECK_EQUAL(133, snapshot.page_count());
  CheckCopies(snapshot, 0, all, memory[0]);
  CheckCopies(snapshot, 1, all, memory[1]);
}

TEST(PageSnapshot, ManyPagesAreCopiedByAllWorkersAsByOne) {
  constexpr uint64_t kPages = 3 * PageSnapshot::kManyPages + 77;
  Bytes large(kPages * kPageBytes);
  std::mt19937_64 random(9);
  for (size_t i = 0; i < large.size(); i += 512) large[i] = static_cast<uint8_t>(random());
  regions = {{"large", large.data(), large.size()}};
  WorkerPool workers(3);
  PageSnapshot snapshot(regions, &workers);
  for (int round = 0; round < 4; round++) {
    std::vector<uint64_t> bitmap(regions[0].bitmap_words());
    for (uint64_t& word : bitmap) word = random() | (round == 0 ? 0 : random());
    Bytes then = large;
    snapshot.Clear();
    snapshot.Copy(0, bitmap);
    CHECK(snapshot.page_count() > PageSnapshot::kManyPages);
    std::fill(large.begin(), large.end(), static_cast<uint8_t>(round));
    CheckCopies(snapshot, 0, bitmap, then);
  }
}

TEST(PageSnapshot, IsEmptyAfterClear) {
  PageSnapshot snapshot(regions);
  snapshot.Copy(1, std::vector<uint64_t>{7});
  CHECK_EQUAL(3, snapshot.page_count());
  snapshot.Clear();
  CHECK_EQUAL(0, snapshot.page_count());
  CHECK_EQUAL(0, snapshot.groups()[1].pages.size());
}
