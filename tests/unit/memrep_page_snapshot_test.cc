// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/page_snapshot.h"

#include <sys/resource.h>

#include <fstream>
#include <random>
#include <string>

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::memrep;

namespace {

/// What counts as this process's data may become no more than `bytes` larger.
class DataLimit {
 public:
  explicit DataLimit(uint64_t bytes) {
    CHECK(getrlimit(RLIMIT_DATA, &before_) == 0);
    rlimit limit = before_;
    limit.rlim_cur = Data() + bytes;
    CHECK(setrlimit(RLIMIT_DATA, &limit) == 0);
  }
  ~DataLimit() { CHECK(setrlimit(RLIMIT_DATA, &before_) == 0); }
  static uint64_t Data() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("VmData:")) return std::stoull(line.substr(7)) << 10;
    }
    FAIL("no VmData");
    return 0;
  }

 private:
  rlimit before_{};
};

}  // namespace

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
    CHECK(snapshot.Reserve(static_cast<uint64_t>(round) * 10).ok());
    uint64_t few = random();
    for (int i = 0; i < 2; i++) few &= random();
    std::vector<uint64_t> bitmap{random(), few, random() & 3};
    Bytes then = memory[0];
    CHECK(snapshot.Copy(0, bitmap).ok());
    std::fill(memory[0].begin(), memory[0].end(), static_cast<uint8_t>(round));  // the guest goes on
    CheckCopies(snapshot, 0, bitmap, then);
    CHECK_EQUAL(0, snapshot.groups()[1].pages.size());
  }
}

TEST(PageSnapshot, IgnoresBitsBehindTheEndOfTheRegion) {
  PageSnapshot snapshot(regions);
  std::vector<uint64_t> all(3, ~uint64_t{0});
  CHECK(snapshot.Copy(0, all).ok());
  CHECK(snapshot.Copy(1, std::vector<uint64_t>{~uint64_t{0}}).ok());
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
    CHECK(snapshot.Copy(0, bitmap).ok());
    CHECK(snapshot.page_count() > PageSnapshot::kManyPages);
    std::fill(large.begin(), large.end(), static_cast<uint8_t>(round));
    CheckCopies(snapshot, 0, bitmap, then);
  }
}

TEST(PageSnapshot, IsEmptyAfterClear) {
  PageSnapshot snapshot(regions);
  CHECK(snapshot.Copy(1, std::vector<uint64_t>{7}).ok());
  CHECK_EQUAL(3, snapshot.page_count());
  snapshot.Clear();
  CHECK_EQUAL(0, snapshot.page_count());
  CHECK_EQUAL(0, snapshot.groups()[1].pages.size());
}

TEST(PageSnapshot, GivesBackWhatItNeedsNoMore) {
  constexpr uint64_t kPages = 16384;
  Bytes large(kPages * kPageBytes, 1);
  regions = {{"large", large.data(), large.size()}};
  const std::vector<uint64_t> all(regions[0].bitmap_words(), ~uint64_t{0}), none(regions[0].bitmap_words());
  const uint64_t before = DataLimit::Data();
  PageSnapshot snapshot(regions);
  CHECK_TRUE(DataLimit::Data() < before + large.size() / 4);
  CHECK(snapshot.Copy(0, all).ok());
  CHECK_EQUAL(kPages, snapshot.room());
  snapshot.Clear();
  CHECK(snapshot.Reserve(10).ok());
  CHECK_TRUE(snapshot.room() < kPages / 8);
  CHECK_TRUE(DataLimit::Data() < before + large.size() / 4);
  CHECK(snapshot.Copy(0, all).ok());
  CheckCopies(snapshot, 0, all, large);
}

TEST(PageSnapshot, SaysWhenThereIsNoMemoryForCopies) {
  constexpr uint64_t kPages = 16384;
  Bytes large(kPages * kPageBytes, 1);
  regions = {{"large", large.data(), large.size()}};
  std::vector<uint64_t> bitmap(regions[0].bitmap_words(), ~uint64_t{0});
  PageSnapshot snapshot(regions);
  {
    const DataLimit limit(kPages * kPageBytes / 4);
    const Status copied = snapshot.Copy(0, bitmap);
    CHECK(copied.code() == StatusCode::kEnvironment);
    STRCMP_CONTAINS("no memory for copies of 64 MiB", copied.message().c_str());
    CHECK_EQUAL(0, snapshot.page_count());
  }
  CHECK(snapshot.Copy(0, bitmap).ok());
  CheckCopies(snapshot, 0, bitmap, large);
}
