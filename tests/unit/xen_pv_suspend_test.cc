// SPDX-License-Identifier: GPL-2.0-or-later
#include "xen/pv_suspend.h"

#include <string>

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::xen;

namespace {

/// A domain, its kernel, and everybody who watches it.
class FakePvDomain : public PvDomain {
 public:
  bool drivers = true;
  State state{Run::kRuns, 1000};
  std::string control;  ///< xenstore's control/shutdown
  int requests_taken = 0;
  bool subscribed = false;
  bool event = false;      ///< told to us
  int told_to_others = 0;  ///< VIRQ_DOM_EXC
  int resumes = 0;

  Result<bool> HasPvDrivers() override { return drivers; }
  Result<State> GetState() override { return state; }
  Status Subscribe(bool on) override {
    subscribed = on;
    return Status::Ok();
  }
  int event_fd() const override { return -1; }
  void TakeEvent() override { event = false; }
  Result<bool> WriteRequest() override { return Replace("", "suspend"); }
  Result<bool> WithdrawRequest() override { return Replace("suspend", ""); }
  Status Resume() override {
    CHECK(state.run == Run::kSuspended);
    state.run = Run::kRuns;
    resumes++;
    return Status::Ok();
  }

  /// The kernel reads what it is asked for.
  void TakeRequest() {
    if (control != "suspend") return;
    control.clear();
    requests_taken++;
  }
  void Suspend() {
    state.run = Run::kSuspended;
    if (subscribed) {
      event = true;
    } else {
      told_to_others++;
    }
  }

 private:
  Result<bool> Replace(const std::string& from, const std::string& to) {
    if (control != from) return false;
    control = to;
    return true;
  }
};

}  // namespace

TEST_GROUP(PvSuspend) {
  FakePvDomain domain;
  PvSuspend suspend{domain};

  void setup() override { CHECK(suspend.Begin().ok()); }
  PvSuspend::Answer Ask() {
    auto answer = suspend.Ask();
    CHECK(answer.ok());
    return answer.value();
  }
  bool Arrived() {
    auto arrived = suspend.Arrived();
    CHECK(arrived.ok());
    return arrived.value();
  }
  bool Withdraw() {
    auto withdrawn = suspend.Withdraw();
    CHECK(withdrawn.ok());
    return withdrawn.value();
  }
};

TEST(PvSuspend, AsksNothingOfAKernelWithoutPvDrivers) {
  domain.drivers = false;
  CHECK(Ask() == PvSuspend::Answer::kNoDrivers);
  STRCMP_EQUAL("", domain.control.c_str());
  CHECK_FALSE(suspend.asked());
}

TEST(PvSuspend, WaitsUntilTheKernelHasSuspendedAndLetsItGoOn) {
  CHECK(Ask() == PvSuspend::Answer::kAsked);
  CHECK_FALSE(Arrived());
  domain.TakeRequest();
  CHECK_FALSE(Arrived());
  domain.Suspend();
  CHECK_TRUE(domain.event);
  CHECK_TRUE(Arrived());
  CHECK_FALSE(domain.event);
  CHECK(suspend.Resume().ok());
  CHECK_EQUAL(1, domain.resumes);
  CHECK_FALSE(Arrived());
}

TEST(PvSuspend, IsSeenByNobodyWhoWatchesTheDomain) {
  for (int epoch = 0; epoch < 3; epoch++) {
    CHECK(Ask() == PvSuspend::Answer::kAsked);
    domain.TakeRequest();
    domain.Suspend();
    CHECK_TRUE(Arrived());
    CHECK(suspend.Resume().ok());
  }
  CHECK_EQUAL(0, domain.told_to_others);
}

TEST(PvSuspend, LeavesSuspendsThatOthersAskForToThem) {
  Ask();
  domain.TakeRequest();
  domain.Suspend();
  CHECK_TRUE(Arrived());
  CHECK(suspend.Resume().ok());
  domain.Suspend();  // xl save
  CHECK_EQUAL(1, domain.told_to_others);
  CHECK_FALSE(Arrived());
  CHECK(Ask() == PvSuspend::Answer::kBusy);
}

TEST(PvSuspend, NeverReplacesTheRequestOfAnother) {
  domain.control = "poweroff";
  CHECK(Ask() == PvSuspend::Answer::kBusy);
  STRCMP_EQUAL("poweroff", domain.control.c_str());
  CHECK_FALSE(suspend.asked());
  CHECK_FALSE(domain.subscribed);
}

TEST(PvSuspend, AsksNothingOfADomainThatIsPausedOrEnds) {
  domain.state.run = PvDomain::Run::kPaused;
  CHECK(Ask() == PvSuspend::Answer::kPaused);
  domain.state.run = PvDomain::Run::kEnded;
  CHECK(Ask() == PvSuspend::Answer::kBusy);
  STRCMP_EQUAL("", domain.control.c_str());
}

TEST(PvSuspend, DoesNotTakeAPoweroffForASuspend) {
  Ask();
  domain.state.run = PvDomain::Run::kEnded;
  CHECK_FALSE(Arrived());
}

TEST(PvSuspend, TakesBackWhatTheKernelHasNotRead) {
  Ask();
  CHECK_TRUE(Withdraw());
  STRCMP_EQUAL("", domain.control.c_str());
  domain.TakeRequest();
  CHECK_EQUAL(0, domain.requests_taken);
  CHECK_FALSE(domain.subscribed);
}

TEST(PvSuspend, StaysResponsibleForAKernelThatSuspendsAfterItWasGivenUp) {
  Ask();
  domain.TakeRequest();
  CHECK_FALSE(Withdraw());
  domain.Suspend();
  CHECK_TRUE(domain.event);
  CHECK_EQUAL(0, domain.told_to_others);
  CHECK_TRUE(Arrived());
}

TEST(PvSuspend, LeavesNoSecondRequestBehindForAKernelThatWasAskedTwice) {
  Ask();
  domain.TakeRequest();
  CHECK_FALSE(Withdraw());
  Ask();  // of the next session
  domain.Suspend();
  CHECK_TRUE(Arrived());
  STRCMP_EQUAL("", domain.control.c_str());
  CHECK(suspend.Resume().ok());
  domain.TakeRequest();
  CHECK_EQUAL(1, domain.requests_taken);
}

TEST(PvSuspend, LeavesTheDomainToOthersOnceItIsForgotten) {
  Ask();
  domain.TakeRequest();
  CHECK_FALSE(Withdraw());
  suspend.Forget();
  domain.Suspend();
  CHECK_EQUAL(1, domain.told_to_others);
  CHECK_FALSE(Arrived());
}

TEST(PvSuspend, RefusesAGuestWhoseMemoryHasChangedInSize) {
  domain.state.pages = 900;
  auto answer = suspend.Ask();
  CHECK_FALSE(answer.ok());
  CHECK(answer.status().code() == StatusCode::kRefused);
  STRCMP_EQUAL("", domain.control.c_str());
}
