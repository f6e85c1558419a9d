// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/harvest_policy.h"

#include <CppUTest/TestHarness.h>

using haven::memrep::EncoderFigures;
using haven::session::AfterHarvest;
using haven::session::HarvestPolicy;

TEST_GROUP(HarvestPolicy) {
  HarvestPolicy policy{true};
  bool KeepsAfter(const EncoderFigures& figures) {
    policy.Note(figures);
    return policy.Next() == AfterHarvest::kKeep;
  }
};

TEST(HarvestPolicy, ForgetsUntilAnEpochHasBeenSeen) { CHECK(policy.Next() == AfterHarvest::kForget); }

TEST(HarvestPolicy, KeepsWhatIsWrittenInEachEpoch) {
  CHECK_TRUE(KeepsAfter({.pages = 5000, .unchanged = 100, .run = 2000, .delta = 2900}));
}

TEST(HarvestPolicy, ForgetsWhatHasBecomeMostlyIdle) {
  CHECK_TRUE(KeepsAfter({.pages = 300, .unchanged = 256, .delta = 44}));
  CHECK_FALSE(KeepsAfter({.pages = 301, .unchanged = 257, .delta = 44}));
  CHECK_TRUE(KeepsAfter({.pages = 2000, .unchanged = 1000, .delta = 1000}));
  CHECK_FALSE(KeepsAfter({.pages = 2000, .unchanged = 1001, .delta = 999}));
}

TEST(HarvestPolicy, ForgetsPagesThatWouldTravelWholeEachTime) {
  CHECK_TRUE(KeepsAfter({.pages = 132, .delta = 100, .compressed = 16, .raw = 16}));
  CHECK_FALSE(KeepsAfter({.pages = 133, .delta = 100, .raw = 33}));
  CHECK_FALSE(KeepsAfter({.pages = 5000, .raw = 5000}));
  CHECK_TRUE(KeepsAfter({.pages = 1250, .zero = 300, .delta = 650, .sparse = 150, .raw = 150}));
}

TEST(HarvestPolicy, NeverKeepsWhenNothingIsCompared) {
  policy = HarvestPolicy(false);
  CHECK_FALSE(KeepsAfter({.pages = 10, .raw = 10}));
}
