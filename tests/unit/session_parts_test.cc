// SPDX-License-Identifier: GPL-2.0-or-later
//
// The small parts of a session: main thread, arbiter, figures, heartbeats.

#include <sys/socket.h>

#include "session/arbiter.h"
#include "session/epoch_history.h"
#include "session/heartbeat.h"
#include "session/recent_median.h"
#include "session/main_progress.h"
#include "session/main_thread.h"
#include "session/memory_sender.h"
#include "tests/unit/blkrep_support.h"
#include "tests/unit/core_support.h"
#include "tests/unit/fake_clock.h"
#include "tests/unit/session_fakes.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::session;
using namespace haven::session::test;

TEST_GROUP(MainThread) {
  MainLoop loop;
  FakeGuest guest{&loop};
};

TEST(MainThread, RunsWhatIsPostedInOrder) {
  MainThread main(guest);
  std::vector<int> order;
  for (int i = 0; i < 50; i++) main.Post([&, i] { order.push_back(i); });
  CHECK(main.Call([&] { order.push_back(50); }));
  CHECK_EQUAL(51, order.size());
  for (int i = 0; i < 51; i++) CHECK_EQUAL(i, order[i]);
}

TEST(MainThread, ThatGetsNowhereIsSeenFromOutside) {
  MainThread main(guest);
  haven::test::FakeClock clock;
  MainProgress progress(main, guest, clock);
  CHECK_EQUAL(0, progress.Look().stalled_ms);
  CHECK(main.Call([] {}));  // what was asked for has run before
  clock.Pass(milliseconds(5000));
  CHECK_EQUAL(0, progress.Look().stalled_ms);
  CHECK(main.Call([] {}));
  std::mutex hangs;
  std::unique_lock until(hangs);
  main.Post([&] { std::lock_guard wait(hangs); });
  CHECK_EQUAL(0, progress.Look().stalled_ms);
  clock.Pass(milliseconds(3000));
  CHECK_EQUAL(3000, progress.Look().stalled_ms);
  clock.Pass(milliseconds(1000));
  CHECK_EQUAL(4000, progress.Look().stalled_ms);
  guest.run_state = wire::GuestRun::kIoError;
  until.unlock();
  CHECK(main.Call([] {}));
  const wire::Liveness after = progress.Look();
  CHECK_EQUAL(0, after.stalled_ms);
  CHECK(after.run == wire::GuestRun::kIoError);
  CHECK(main.Call([] {}));
}

TEST(MainThread, SaysSinceWhenACheckpointWaitsForADisk) {
  MainThread main(guest);
  haven::test::FakeClock clock;
  MainProgress progress(main, guest, clock);
  guest.disk_stall = milliseconds(700);
  CHECK_EQUAL(0, progress.Look().stalled_ms);  // nobody has been asked yet
  CHECK(main.Call([] {}));
  clock.Pass(milliseconds(300));
  CHECK_EQUAL(1000, progress.Look().stalled_ms);
  guest.disk_stall = milliseconds(0);
  CHECK(main.Call([] {}));
  (void)progress.Look();
  CHECK(main.Call([] {}));
  CHECK_EQUAL(0, progress.Look().stalled_ms);
  CHECK(main.Call([] {}));
}

TEST(MainThread, RunsNothingOnceItIsClosed) {
  MainThread main(guest);
  std::atomic<int> ran{0};
  std::atomic<bool> queued{false};
  bool called = true;
  std::thread caller;
  loop.Run([&] {  // the main thread is busy while the others queue
    main.Post([&] { ran++; });
    caller = std::thread([&] {
      queued = true;
      called = main.Call([&] { ran++; });
    });
    CHECK(Eventually([&] { return queued.load(); }));
    main.Close();
  });
  caller.join();
  loop.Run([] {});
  CHECK_FALSE(called);
  CHECK_EQUAL(0, ran);
  CHECK_FALSE(main.Call([&] { ran++; }));
  loop.Run([] {});
  CHECK_EQUAL(0, ran);
}

TEST(MainThread, ReleasesWhoWaitsWhenItIsDestroyed) {
  auto main = std::make_unique<MainThread>(guest);
  std::atomic<bool> started{false};
  std::thread caller;
  bool called = true;
  loop.Run([&] {
    caller = std::thread([&, raw = main.get()] {
      started = true;
      called = raw->Call([] {});
    });
    CHECK(Eventually([&] { return started.load(); }));
    main->Close();
  });
  caller.join();
  main.reset();
  CHECK_FALSE(called);
}

TEST(MainThread, WaitsForAFunctionThatClosesTheGateItself) {
  MainThread main(guest);
  std::atomic<bool> ended{false};
  std::atomic<bool> other_ran{false};
  bool called = main.Call([&] {
    main.Close();
    std::thread([&] { other_ran = true; }).join();  // some more work on the caller's stack
    ended = true;
  });
  CHECK(called);
  CHECK(ended && other_ran);
}

TEST_GROUP(Arbiter){};

static Status Ask(const ArbiterChoice& arbiter, const std::string& guest, const std::string& instance,
                  const char* role) {
  return AskArbiter(arbiter, guest, instance, role, [] { return false; });
}

TEST(Arbiter, HasWonWhenTheCommandSucceeds) { HAVEN_CHECK_OK(Ask("true", "vm", "00", "primary")); }

TEST(Arbiter, HasLostWhenTheCommandFails) {
  HAVEN_CHECK_FAILS(StatusCode::kRefused, "the arbiter exited with status 1", Ask("false", "vm", "00", "primary"));
}

TEST(Arbiter, KnowsNothingWhenTheCommandIsMissingOrDies) {
  CHECK(Ask("/nonexistent/arbiter", "vm", "00", "primary").code() == StatusCode::kEnvironment);
  HAVEN_CHECK_FAILS(
      StatusCode::kEnvironment,
      "the arbiter was ended by signal 9 (Killed), which is no verdict (0: this side has won, 1: it has lost)",
      Ask("sh -c 'kill -9 $$'", "vm", "00", "primary"));
  // Not installed in a shell, a usage error.
  for (const char* command : {"sh -c 'exit 127'", "sh -c 'exit 2'"}) {
    const Status verdict = Ask(command, "vm", "00", "primary");
    CHECK(verdict.code() == StatusCode::kEnvironment);
    STRCMP_CONTAINS("which is no verdict", verdict.message().c_str());
  }
  CHECK(Ask("'unfinished", "vm", "00", "primary").code() == StatusCode::kEnvironment);
  CHECK(Ask("", "vm", "00", "primary").code() == StatusCode::kEnvironment);
}

TEST(Arbiter, KnowsNothingWhenTheCommandDoesNotEnd) {
  HAVEN_CHECK_FAILS(StatusCode::kEnvironment, "the arbiter did not answer within 1 ms",
                    Ask(ArbiterChoice("sleep 1000", milliseconds(1)), "vm", "00", "primary"));
  HAVEN_CHECK_FAILS(StatusCode::kEnvironment, "the arbiter was not waited for any longer",
                    AskArbiter("sleep 1000", "vm", "00", "primary", [] { return true; }));
}

TEST(Arbiter, IsToldWhoAsksWithoutAShell) {
  HAVEN_CHECK_OK(
      Ask("sh -c 'test \"$HAVEN_GUEST.$HAVEN_INSTANCE.$HAVEN_ROLE\" = \"a;b.0af3.backup\"'", "a;b", "0af3", "backup"));
  blkrep::test::TempFolder folder;
  HAVEN_CHECK_OK(Ask("true ; touch " + folder.File("x"), "vm", "00", "primary"));
  CHECK(blkrep::test::ReadFile(folder.File("x")).empty());
  CHECK(access(folder.File("x").c_str(), F_OK) != 0);
}

TEST_GROUP(EpochHistory) {
  EpochHistory history;
  PrimaryStatus status;

  void Add(int pause_us) {
    EpochFigures figures;
    figures.pause = microseconds(pause_us);
    figures.pages = 3;
    figures.wire_bytes = 10;
    history.Add(figures);
  }
};

TEST(EpochHistory, IsAllZeroAtFirst) {
  history.Summarise(status);
  CHECK_EQUAL(0, status.epochs);
  CHECK_EQUAL(0, status.pause_p50_us);
  CHECK_EQUAL(0, status.pause_max_us);
}

TEST(EpochHistory, KnowsMedianAndTailOfTheFigures) {
  for (int i = 100; i >= 1; i--) Add(i);
  history.Summarise(status);
  CHECK_EQUAL(51, status.pause_p50_us);
  CHECK_EQUAL(100, status.pause_p99_us);
  CHECK_EQUAL(100, status.pause_max_us);
  CHECK_EQUAL(100, status.epochs);
  CHECK_EQUAL(300, status.dirty_pages_total);
  CHECK_EQUAL(3, status.dirty_pages_last);
  CHECK_EQUAL(1000, status.memory_wire_bytes);
}

TEST(EpochHistory, ForgetsTheFiguresOfOldEpochsButNotTheSums) {
  Add(1000000);
  for (size_t i = 0; i < EpochHistory::kKept; i++) Add(5);
  history.Summarise(status);
  CHECK_EQUAL(5, status.pause_max_us);
  CHECK_EQUAL(EpochHistory::kKept + 1, status.epochs);
  for (size_t i = 0; i < EpochHistory::kKept / 2; i++) Add(7);
  status = {};
  history.Summarise(status);
  CHECK_EQUAL(7, status.pause_p99_us);
}

TEST_GROUP(Heartbeat) {
  haven::test::FakeClock clock;
  std::unique_ptr<Link> here, there;
  Record record;

  void setup() override {
    int ends[2];
    CHECK_EQUAL(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    here = std::make_unique<Link>(ends[0], clock);
    there = std::make_unique<Link>(ends[1]);
  }
  /// @return what the next HEARTBEAT says of its time.
  uint64_t Beat() {
    HAVEN_CHECK_OK(there->Receive(record, milliseconds(20000)));
    CHECK(record.header.type == wire::Type::kHeartbeat);
    return wire::DecodeHeartbeat(record.body).value().sent_us;
  }
};

TEST(Heartbeat, SatisfiesTheShorterOfTheTwoDeadlines) {
  CHECK_EQUAL(1000, HeartbeatDeadline(milliseconds(1000), 0).count());  // not told
  CHECK_EQUAL(1000, HeartbeatDeadline(milliseconds(1000), 5000).count());
  CHECK_EQUAL(200, HeartbeatDeadline(milliseconds(1000), 200).count());
  CHECK_EQUAL(50, HeartbeatDeadline(milliseconds(1000), 1).count());  // a peer may not make us busy
  CHECK_EQUAL(1000, HeartbeatDeadline(milliseconds(1000), UINT32_MAX).count());
  CHECK_EQUAL(20, HeartbeatDeadline(milliseconds(20), 1).count());
}

TEST(Heartbeat, GoesOutAtOnceAndThenEveryQuarterOfTheDeadline) {
  Heartbeat heartbeat(*here, milliseconds(1000));
  uint64_t last = Beat();
  for (int i = 0; i < 3; i++) {
    CHECK(clock.IsAwaited(milliseconds(250)));
    clock.Pass(milliseconds(249));
    CHECK(clock.IsAwaited(milliseconds(1)));
    CHECK_FALSE(there->Receive(record, milliseconds(0)).ok());
    clock.Pass(milliseconds(1));
    uint64_t sent = Beat();
    CHECK_EQUAL(last + 250000, sent);
    last = sent;
  }
}

TEST(Heartbeat, EndsWhileItWaits) {
  auto heartbeat = std::make_unique<Heartbeat>(*here, milliseconds(1000));
  CHECK(clock.IsAwaited(milliseconds(250)));
  heartbeat.reset();
}

TEST(Heartbeat, EndsWhenTheLinkDoes) {
  Heartbeat heartbeat(*here, milliseconds(1000));
  CHECK(clock.IsAwaited(milliseconds(250)));
  here->Close();
  clock.Pass(milliseconds(250));
}

TEST_GROUP(RecentMedian) { RecentMedian<9> rate; };

TEST(RecentMedian, IsTheMedianOfTheLastSamples) {
  CHECK_EQUAL(0, rate.Median());
  rate.Add(100);
  CHECK_EQUAL(100, rate.Median());
  for (uint64_t sample : {7'000, 100, 110, 1, 100}) rate.Add(sample);
  CHECK_EQUAL(100, rate.Median());
  for (int i = 0; i < 5; i++) rate.Add(20);
  CHECK_EQUAL(20, rate.Median());
}

TEST_GROUP(MemorySender) {
  /// A connection that carries so much.
  class RatedSender : public haven::test::RecordingSender {
   public:
    uint64_t DeliveryRate() const override { return rate; }
    uint64_t rate = 0;
  } link;
  class NotingEncoder : public memrep::RawPageEncoder {
   public:
    void SetLinkRate(uint64_t bytes_per_second) override { rate = bytes_per_second; }
    uint64_t rate = 1;
  } encoder;
};

TEST(MemorySender, TellsTheEncoderWhatTheConnectionDelivers) {
  Bytes memory(4 * kPageBytes);
  std::vector<memrep::MemoryRegion> regions{{"ram", memory.data(), memory.size()}};
  MemorySender sender(regions, encoder, link);
  auto send = [&] {
    PageSets pages{{1}};
    return sender.SendLive(pages, [](uint64_t) {});
  };
  HAVEN_CHECK_OK(send());
  CHECK_EQUAL(0, encoder.rate);  // unknown
  link.rate = 12'000'000;
  HAVEN_CHECK_OK(send());
  CHECK_EQUAL(12'000'000, encoder.rate);
}
