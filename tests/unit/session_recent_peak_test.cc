// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/recent_peak.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::session;
using std::chrono::seconds;

TEST_GROUP(RecentPeak) {
  RecentPeak peak;
  Instant now = Instant{} + std::chrono::hours(1);
};

TEST(RecentPeak, IsKeptForTwentySecondsAndForgottenWithinForty) {
  CHECK_EQUAL(7, peak.Note(now, 7));
  CHECK_EQUAL(900, peak.Note(now += seconds(1), 900));
  for (int second = 0; second < 20; second++) CHECK_EQUAL(900, peak.Note(now += seconds(1), 5));
  for (int second = 0; second < 20; second++) (void)peak.Note(now += seconds(1), 5);
  CHECK_EQUAL(5, peak.Note(now, 5));
}

TEST(RecentPeak, IsForgottenWhenNothingWasNotedForLong) {
  CHECK_EQUAL(900, peak.Note(now, 900));
  CHECK_EQUAL(5, peak.Note(now += seconds(50), 5));
}

TEST(RecentPeak, ALargerOneCountsAtOnce) {
  CHECK_EQUAL(9, peak.Note(now, 9));
  CHECK_EQUAL(10, peak.Note(now += seconds(25), 10));
  CHECK_EQUAL(11, peak.Note(now += seconds(25), 11));
}
