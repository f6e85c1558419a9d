// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/early_pages.h"

#include <bit>
#include <random>

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::session;

TEST_GROUP(EarlyPages) {
  const std::vector<memrep::MemoryRegion> regions{{"ram", nullptr, 64 * kPageBytes}, {"vga", nullptr, 4 * kPageBytes}};
  EarlyPages early{regions};

  uint64_t Look(uint64_t written) {
    PageSets pages{{written}, {0}};
    early.Look(pages);
    return pages[0][0];
  }
  uint64_t End(uint64_t written) {
    PageSets pages{{written}, {0}};
    early.End(pages);
    return pages[0][0];
  }
};

TEST(EarlyPages, SendsWhatNothingIsKnownOfAndLeavesToThePauseWhatIsWrittenAfterwards) {
  CHECK_EQUAL(0xFF, Look(0xFF));
  CHECK_EQUAL(0x100, End(0x100));
  CHECK_EQUAL(0x03, End(0x03));  // without a look all is the pause's
}

TEST(EarlyPages, KeepsForThePauseWhatWasWrittenAgainTheLastTime) {
  CHECK_EQUAL(0xFF, Look(0xFF));
  CHECK_EQUAL(0x0F, End(0x0F));
  CHECK_EQUAL(0xF0, Look(0xFF));
  CHECK_EQUAL(0x0F, End(0));  // kept, though not written again: but that is remembered ...
  CHECK_EQUAL(0xFF, Look(0xFF));
  CHECK_EQUAL(0, End(0));
}

TEST(EarlyPages, SendsAgainWhatALaterLookFindsAgain) {
  CHECK_EQUAL(0xFF, Look(0xFF));
  CHECK_EQUAL(0x303, Look(0x303));
  CHECK_EQUAL(0x01, End(0x01));
  CHECK_EQUAL(0x302, Look(0x303));  // that one was written after both
}

TEST(EarlyPages, ExpectsNothingNewOfAPageThatNoLookHasFound) {
  (void)Look(0x01);
  CHECK_EQUAL(0x01, End(0x01));
  (void)Look(0x02);
  CHECK_EQUAL(0x01, End(0x01));
  CHECK_EQUAL(0x02, Look(0x03));
}

TEST(EarlyPages, LeavesToThePauseWhatWasNotSentInTime) {
  (void)Look(0xFF);
  early.Keep({{0xF0}, {0x1}});
  PageSets pages{{0x100}, {0}};
  early.End(pages);
  CHECK_EQUAL(0x1F0, pages[0][0]);
  CHECK_EQUAL(0x1, pages[1][0]);
  CHECK_EQUAL(0, End(0));
}

TEST(EarlyPages, KeepsNothingOverTheEndOfAConnection) {
  (void)Look(0xFF);
  early.Keep({{0xF0}, {0}});
  early.Forget();
  CHECK_EQUAL(0, End(0));
}

/// Pages of which a tenth get nine tenths of the writes, the others the rest.
TEST(EarlyPages, LosesNoPageAndLeavesLittleToThePause) {
  constexpr uint64_t kPages = 40'000, kHot = 4000, kWrites = 210'000;
  EarlyPages large{{{"ram", nullptr, kPages * kPageBytes}}};
  std::mt19937_64 random{5};
  uint64_t in_pauses = 0, written = 0, sent = 0;
  for (int epoch = 0; epoch < 10; epoch++) {
    PageSets dirty{std::vector<uint64_t>(kPages / 64)}, all = dirty, arrived = dirty;
    const auto count = [](const PageSets& pages) {
      uint64_t sum = 0;
      for (uint64_t word : pages[0]) sum += static_cast<uint64_t>(std::popcount(word));
      return sum;
    };
    const auto send = [&](PageSets pages) {
      sent += count(pages);
      for (size_t i = 0; i < pages[0].size(); i++) arrived[0][i] |= pages[0][i];
    };
    for (uint64_t i = 0; i < kWrites; i++) {
      const uint64_t page = random() % 10 < 9 ? random() % kHot : kHot + random() % (kPages - kHot);
      dirty[0][page / 64] |= 1ull << page % 64;
      all[0][page / 64] |= 1ull << page % 64;
      arrived[0][page / 64] &= ~(1ull << page % 64);  // what is there is not what it is now
      if (i != kWrites / 2 && i != kWrites * 13 / 16 && i != kWrites * 15 / 16) continue;
      large.Look(dirty);
      send(std::exchange(dirty, PageSets{std::vector<uint64_t>(kPages / 64)}));
    }
    large.End(dirty);
    send(dirty);
    for (size_t i = 0; i < all[0].size(); i++) CHECK_EQUAL(all[0][i], arrived[0][i]);
    if (epoch == 0) sent = 0;  // nothing was known yet
    if (epoch == 0) continue;
    in_pauses += count(dirty);
    written += count(all);
  }
  CHECK(in_pauses * 100 < written * 35);
  CHECK(sent * 100 < written * 125);
}
