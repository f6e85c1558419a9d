// SPDX-License-Identifier: GPL-2.0-or-later
#include <cmath>
#include <deque>
#include <random>
#include <vector>

#include "session/policy/mode.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::session;

namespace {

/// What a guest does and what replicating it costs, for a while.
struct Load {
  double pages_per_ms = 20;     ///< that it writes for the first time in an epoch, at the epoch's beginning ...
  double working_set = 4000;    ///< ... of so many
  double fixed_us = 900;        ///< of the pause
  double ns_per_page = 700;     ///< of the pause
  double bytes_per_page = 900;  ///< on the wire
  double bytes_per_us = 1000;   ///< of the link
  double rtt_us = 300;
  double settle_us = 0;
  double backup_us = 100;  ///< that it is busy with each epoch, one after the other
  bool output = true;      ///< the guest sends all the time
};

struct Seen {
  double ran_us, pause_us, held_us;
  bool bad;     ///< far off, as a few always are, or behind one
  bool waited;  ///< for one of those before to be committed, as many were in flight
  double overhead() const { return pause_us / (ran_us + pause_us); }
};

/// A guest under a policy, on time of its own. Commits arrive one after the other, the link carries one epoch at a
/// time, and the backup works on one; as many are in flight as may be.
class Trace {
 public:
  explicit Trace(const ModeSettings& settings) : policy_(MakePolicy(settings)), in_flight_(settings.in_flight) {}

  Seen Next(const Load& load) {
    const EpochDue due = policy_->Next(now_);
    const Instant began = now_;
    Instant settled = std::max(now_, due.When(load.output ? std::optional(now_) : std::nullopt));
    const Instant room = coming_.size() < in_flight_ ? settled : coming_[coming_.size() - in_flight_].first;
    const bool waited = room > settled;
    settled = std::max(settled, room);
    const Instant end = settled + microseconds(static_cast<int64_t>(load.settle_us));
    Note(end);
    EpochFigures figures;
    figures.ran = MicrosSince(now_, settled);
    figures.settle = microseconds(static_cast<int64_t>(load.settle_us));
    const double ran = static_cast<double>(figures.ran.count());
    const double pages = load.working_set * (1 - std::exp(-load.pages_per_ms * ran / 1000 / load.working_set));
    figures.pages = static_cast<uint64_t>(pages);
    const double noise = std::uniform_real_distribution(0.9, 1.1)(random_);
    const double bad = count_++ % 20 == 19 ? 10 : 1;  // one of twenty is far off
    figures.copy = microseconds(static_cast<int64_t>(pages * load.ns_per_page / 1000 * noise));
    figures.pause = figures.copy + microseconds(static_cast<int64_t>(load.fixed_us * noise * bad));
    const auto transfer = microseconds(static_cast<int64_t>(pages * load.bytes_per_page / load.bytes_per_us));
    figures.transfer = transfer;
    now_ = end + figures.pause;
    link_free_ = std::max(link_free_, now_) + transfer;
    policy_->NoteTaken(figures);
    const Instant there = link_free_ + microseconds(static_cast<int64_t>(load.rtt_us / 2 * noise * bad));
    figures.apply = microseconds(static_cast<int64_t>(load.backup_us * noise));
    backup_free_ = std::max(backup_free_, there) + figures.apply;
    const Instant committed = backup_free_ + microseconds(static_cast<int64_t>(load.rtt_us / 2));
    figures.commit = MicrosSince(now_, committed);
    coming_.push_back({committed, figures});
    return {ran, static_cast<double>(figures.pause.count()), static_cast<double>(MicrosSince(began, committed).count()),
            bad > 1 || count_ % 20 == 1, waited};
  }
  /// The last of `count`.
  Seen After(int count, const Load& load) {
    Seen last{};
    for (int i = 0; i < count; i++) last = Next(load);
    return last;
  }

 private:
  /// What has arrived by then.
  void Note(Instant now) {
    while (!coming_.empty() && coming_.front().first <= now) {
      policy_->NoteCommitted(coming_.front().second);
      coming_.pop_front();
    }
  }

  std::unique_ptr<EpochPolicy> policy_;
  const size_t in_flight_;
  Instant now_{std::chrono::hours(1)}, link_free_{}, backup_free_{};
  std::deque<std::pair<Instant, EpochFigures>> coming_;
  std::mt19937 random_{7};
  uint64_t count_ = 0;
};

ModeSettings Adaptively(int latency_ms) {
  ModeSettings settings;
  settings.mode = Mode::kAdaptive;
  settings.latency = milliseconds(latency_ms);
  settings.overhead_percent = 20;
  return settings;
}

const std::vector<Load> kLoads = {
    {.pages_per_ms = 0.5, .working_set = 200},
    {},
    {.pages_per_ms = 200, .working_set = 8000},
    {.fixed_us = 3000},
    {.rtt_us = 4000},
    {.pages_per_ms = 60, .bytes_per_us = 100},
    {.settle_us = 2000},
    {.backup_us = 3000},
};

}  // namespace

TEST_GROUP(EpochPolicy){};

TEST(EpochPolicy, EndsAnEpochAtOutputOnlyBetweenItsLimits) {
  const Instant zero{};
  const EpochDue due{zero + milliseconds(10), zero + milliseconds(100), milliseconds(2)};
  auto when = [&](int ms) { return MicrosSince(zero, due.When(zero + milliseconds(ms))).count() / 1000; };
  CHECK_EQUAL(10, when(1));
  CHECK_EQUAL(22, when(20));
  CHECK_EQUAL(100, when(99));
  CHECK(due.When(std::nullopt) == due.latest);
  CHECK((EpochDue{zero, due.latest, std::nullopt}.When(zero) == due.latest));
}

TEST(EpochPolicy, RefusesSettingsOutOfTheirRangeByName) {
  auto message = [](auto change) {
    ModeSettings settings;
    change(settings);
    return CheckMode(settings, false).message();
  };
  STRCMP_EQUAL("", message([](ModeSettings&) {}).c_str());
  STRCMP_EQUAL("the interval must be 1 to 60000 ms, not 0",
               message([](ModeSettings& s) { s.interval = milliseconds(0); }).c_str());
  STRCMP_EQUAL("the latency must be 100 to 10000000 us, not 99",
               message([](ModeSettings& s) { s.latency = microseconds(99); }).c_str());
  STRCMP_EQUAL("the overhead must be 1 to 90 percent, not 91",
               message([](ModeSettings& s) { s.overhead_percent = 91; }).c_str());
  STRCMP_EQUAL("the number of epochs in flight must be 1 to 8, not 9",
               message([](ModeSettings& s) { s.in_flight = 9; }).c_str());
}

TEST(EpochPolicy, AdaptiveMeetsTheLatencyOrTheLimitsThatComeBeforeIt) {
  for (int latency_ms : {5, 20}) {
    for (const Load& load : kLoads) {
      Trace trace(Adaptively(latency_ms));
      (void)trace.After(12, load);
      for (int i = 0; i < 100; i++) {
        const Seen epoch = trace.Next(load);
        if (epoch.bad || epoch.waited) continue;
        const double transfer = load.bytes_per_page / load.bytes_per_us * load.working_set *
                                (1 - std::exp(-load.pages_per_ms * epoch.ran_us / 1000 / load.working_set));
        const bool by_latency = epoch.held_us <= latency_ms * 1100.0;
        // Not longer than the limits ask for.
        const bool by_overhead = epoch.overhead() > 0.17 && epoch.overhead() < 0.23;
        const bool by_link = epoch.ran_us < 1.3 * transfer;
        CHECK(by_latency || by_overhead || by_link);
        CHECK(epoch.overhead() < 0.23);
      }
    }
  }
}

TEST(EpochPolicy, AdaptiveFollowsAStepOfTheLoadWithinTenEpochs) {
  for (const Load& before : kLoads) {
    for (const Load& after : kLoads) {
      Trace stepped(Adaptively(10)), fresh(Adaptively(10));
      (void)stepped.After(50, before);
      const Seen there = stepped.After(10, after), steady = fresh.After(60, after);
      DOUBLES_EQUAL(steady.ran_us, there.ran_us, steady.ran_us * 0.2 + 500);
    }
  }
}

TEST(EpochPolicy, AdaptiveFollowsALinkThatCarriesATenthAndComesBack) {
  const Load usual{.pages_per_ms = 60}, slow{.pages_per_ms = 60, .bytes_per_us = 100};
  Trace trace(Adaptively(10));
  const Seen before = trace.After(51, usual);
  CHECK(before.held_us < 11'000);
  (void)trace.After(10, slow);
  // What waits for the link does not become more and more.
  double longest = 0;
  for (int i = 0; i < 200; i++) {
    const Seen epoch = trace.Next(slow);
    if (!epoch.bad) longest = std::max(longest, epoch.held_us);
  }
  CHECK(longest < 40'000);
  CHECK(trace.After(10, usual).held_us < 11'000);
}

TEST(EpochPolicy, AdaptiveDoesNotSwingUnderAConstantLoad) {
  for (const Load& load : kLoads) {
    Trace trace(Adaptively(10));
    (void)trace.After(30, load);
    double least = 1e9, most = 0;
    for (int i = 0; i < 300; i++) {
      const Seen epoch = trace.Next(load);
      if (epoch.waited) continue;
      least = std::min(least, epoch.ran_us);
      most = std::max(most, epoch.ran_us);
    }
    CHECK(most - least <= 0.2 * most);
  }
}

TEST(EpochPolicy, AdaptiveBoundsThePauseOfAGuestThatSendsNothing) {
  for (Load load : kLoads) {
    load.output = false;
    Trace trace(Adaptively(10));
    (void)trace.After(12, load);
    for (int i = 0; i < 100; i++) {
      const Seen epoch = trace.Next(load);
      CHECK(epoch.bad || epoch.pause_us < 6'000 || epoch.overhead() > 0.17);
    }
  }
  Load burst{.pages_per_ms = 200, .working_set = 30'000, .output = false};
  Trace trace(Adaptively(10));
  (void)trace.After(30, {.pages_per_ms = 1, .output = false});
  CHECK(trace.Next(burst).pause_us > 15'000);  // nobody knew
  CHECK(trace.After(8, burst).pause_us < 6'000);
}

TEST(EpochPolicy, AdaptiveTakesAPauseThatCannotBeForALimitOnPagesAsFarAsTheOverheadAllows) {
  ModeSettings settings = Adaptively(10);
  settings.pause = microseconds(500);
  Trace trace(settings);
  const Load load{.output = false};
  (void)trace.After(12, load);
  for (int i = 0; i < 50; i++) {
    const Seen epoch = trace.Next(load);
    CHECK(epoch.bad || epoch.overhead() > 0.15);
  }
}

TEST(EpochPolicy, AdaptiveTakesACheckpointASecondAtLeast) {
  for (bool output : {false, true}) {
    for (double fixed_us : {100.0, 50'000.0, 500'000.0, 3'000'000.0}) {
      Load load{.fixed_us = fixed_us, .bytes_per_us = 0.5, .output = output};
      ModeSettings settings = Adaptively(10);
      settings.in_flight = 1000;  // whether the link carries them is another matter
      Trace trace(settings);
      for (int i = 0; i < 50; i++) {
        const Seen epoch = trace.Next(load);
        CHECK(i < 12 || epoch.ran_us <= 1'000'000 - std::min(1'000'000.0, fixed_us * 0.9));
        CHECK(epoch.ran_us <= 1'000'000);
      }
    }
  }
}

TEST(EpochPolicy, AdaptiveGetsRidOfAQueueOfEpochsAtTheBackup) {
  for (double busy_us : {3000.0, 4000.0, 5000.0}) {
    for (unsigned in_flight : {1u, 4u, 8u}) {
      ModeSettings settings = Adaptively(15);
      settings.in_flight = in_flight;
      Trace trace(settings);
      (void)trace.After(30, {.backup_us = busy_us});
      (void)trace.After(6, {.backup_us = 20'000});
      (void)trace.After(20, {.backup_us = busy_us});
      for (int i = 0; i < 15; i++) {
        const Seen epoch = trace.Next({.backup_us = busy_us});
        CHECK(epoch.bad || epoch.held_us < 16'500);
      }
    }
  }
}

TEST(EpochPolicy, AdaptiveMakesNoQueueAtABackupThatIsTooSlowForTheTarget) {
  for (double busy_us : {8000.0, 30'000.0}) {
    Trace trace(Adaptively(5));
    (void)trace.After(30, {.backup_us = busy_us});
    for (int i = 0; i < 100; i++) {
      const Seen epoch = trace.Next({.backup_us = busy_us});
      CHECK(epoch.bad || epoch.held_us < 3 * busy_us);
    }
  }
}

TEST(EpochPolicy, AdaptiveKeepsWhatItHasMeasuredWhenASettingChanges) {
  ModeSettings settings = Adaptively(10);
  auto policy = MakePolicy(settings);
  EpochFigures costly;
  costly.pause = milliseconds(30);
  policy->NoteTaken(costly);
  const Instant zero{};
  CHECK(policy->Next(zero).earliest == zero + milliseconds(120));
  settings.overhead_percent = 50;
  policy->Set(settings);
  CHECK(policy->Next(zero).earliest == zero + milliseconds(30));
}

TEST(EpochPolicy, AdaptiveCountsOnlyWhatABusyGuestLosesAsOverhead) {
  auto policy = MakePolicy(Adaptively(10));
  EpochFigures epoch;
  epoch.pause = milliseconds(2);
  const auto earliest = [&](int64_t busy_percent) {
    epoch.busy_percent = busy_percent;
    for (int i = 0; i < 5; i++) policy->NoteTaken(epoch);
    return MicrosSince(Instant{}, policy->Next(Instant{}).earliest).count();
  };
  CHECK_EQUAL(8000, earliest(100));
  CHECK_EQUAL(7700, earliest(60));  // what the latency leaves
  CHECK_EQUAL(7700, earliest(0));
}
