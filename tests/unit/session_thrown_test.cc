// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the standard library throws on a thread of ours, such as a failed allocation, costs one session, says so, and
// leaves the guest alone. The throws are those of a guest and of an activator that run out of memory.

#include <new>

#include "memrep/worker_pool.h"
#include "tests/unit/no_threads.h"
#include "tests/unit/session_pair.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::session;
using namespace haven::session::test;
using haven::test::NoThreads;

TEST_GROUP(SessionThrown) {
  Pair pair;
  std::atomic<bool> throws{false};
  std::function<void()> throw_once = [this] {
    if (throws.exchange(false)) throw std::bad_alloc();
  };

  void Protect() {
    pair.StartBackup();
    pair.StartPrimary();
    CHECK(pair.Protects());
  }
};

TEST(SessionThrown, AThreadTellsWhatItsWorkHasThrownAndEnds) {
  Status told;
  Thread thread([] { throw std::bad_alloc(); }, [&](const Status& status) { told = status; });
  thread.join();
  CHECK(told.code() == StatusCode::kEnvironment);
  STRCMP_EQUAL("out of memory", told.message().c_str());
}

TEST(SessionThrown, AThreadEndsAlsoWhenTellingItThrows) {
  Thread thread([] { throw std::runtime_error("first"); }, [](const Status&) { throw std::bad_alloc(); });
  thread.join();
}

TEST(SessionThrown, WhoDividesWorkGetsWhatAPartOfItHasThrownWhenAllHaveEnded) {
  memrep::WorkerPool pool(3);
  std::atomic<int> under_way{0};
  for (size_t bad = 0; bad < 8; bad++) {
    CHECK_THROWS(std::bad_alloc, pool.Run(8, [&](unsigned, size_t part) {
      under_way++;
      if (part == bad) {
        under_way--;
        throw std::bad_alloc();
      }
      under_way--;
    }));
    CHECK_EQUAL(0, under_way);
  }
  std::atomic<int> done{0};
  pool.Run(8, [&](unsigned, size_t) { done++; });
  CHECK_EQUAL(8, done);
}

TEST(SessionThrown, TheBackupEndsASessionThatItHasNoMemoryForAndTakesTheNext) {
  pair.activator.on_prepare = throw_once;
  throws = true;
  Protect();  // at the second try
  CHECK_TRUE(pair.guest.WasTold("the backup says: out of memory"));
}

TEST(SessionThrown, TheGuestRunsOnWhenItsCheckpointThrowsAndIsProtectedAgain) {
  pair.guest.on_stop = throw_once;
  Protect();
  throws = true;
  CHECK(Eventually([&] { return pair.guest.WasTold("out of memory"); }));
  CHECK(pair.Protects());
  bool running = false;
  pair.loop.Run([&] { running = pair.guest.running(); });
  CHECK_TRUE(running);
}

TEST(SessionThrown, TheGuestRunsOnWhenItsDeviceStateCannotBeKept) {
  pair.guest.on_save = throw_once;
  Protect();
  throws = true;
  CHECK(Eventually([&] { return pair.guest.WasTold("out of memory"); }));
  bool running = false;
  pair.loop.Run([&] { running = pair.guest.running(); });
  CHECK_TRUE(running);
  CHECK(pair.Protects());
}

TEST(SessionThrown, AFailoverThatThrowsIsAFailedOneWhichAPersonMayTryAgain) {
  pair.activator.on_start = throw_once;
  Protect();
  throws = true;
  const Status first = pair.backup->Failover(true);
  STRCMP_CONTAINS("out of memory", first.message().c_str());
  CHECK(pair.backup->Query().state == BackupState::kFailed);
  const Status second = pair.backup->Failover(true);
  CHECK_TRUE_TEXT(second.ok(), second.message().c_str());
}

TEST(SessionThrown, APromotionByItselfThatThrowsLeavesTheCheckpointToAPerson) {
  pair.backup_options.auto_promote = true;
  pair.activator.on_start = throw_once;
  pair.StartBackup();
  HandMadeSession primary(pair.listener.port());
  CHECK(primary.SendLayout().header.type == wire::Type::kLayoutReply);
  primary.SendEpoch(1);
  CHECK(primary.control.Next().header.type == wire::Type::kCommitted);
  throws = true;
  primary.Close();
  CHECK(pair.BackupReaches(BackupState::kFailed));
  STRCMP_CONTAINS("out of memory", pair.backup->Query().message.c_str());
}

TEST(SessionThrown, AGuestThatNoThreadCanBeStartedForIsLetGoOfAndTakenLater) {
  pair.StartBackup();
  {
    const NoThreads none;
    HandMade primary(pair.listener.port(), wire::Connection::kControl);
    (void)primary.Token();  // its HELLO was answered before
    CHECK_TRUE(primary.Ended());
  }
  pair.StartPrimary();
  CHECK(pair.Protects());
}
