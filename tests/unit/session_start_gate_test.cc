// SPDX-License-Identifier: GPL-2.0-or-later
//
// The start gate: a copy that had a backup does not run before it is known that the backup's is not newer.

#include "session/start_gate.h"

#include <sys/xattr.h>

#include "tests/unit/session_pair.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::session;
using namespace haven::session::test;
using blkrep::GuestRecord;
using blkrep::test::WriteFile;

TEST_GROUP(StartGate) {
  Pair pair;

  struct Told : StartGate::Listener {
    void GateChanged(bool now_open, const std::string& text) override {
      std::lock_guard lock(mutex);
      open = now_open;
      message = text;
    }
    bool IsOpen() {
      std::lock_guard lock(mutex);
      return open;
    }
    std::string Message() {
      std::lock_guard lock(mutex);
      return message;
    }
    std::mutex mutex;
    bool open = false;
    std::string message;
  };

  Told told;
  std::unique_ptr<StartGate> gate;
  GateOptions options;

  void setup() override {
    pair.UseFakeClock();
    pair.backup_options.disks = {{"vda", pair.folder.File("replica")}};
    options = {pair.folder.File("root"), {"vm"}, {Disk()}, milliseconds(20000), &pair.clock};
    WriteFile(Disk(), Bytes(8192, 1));
  }
  void teardown() override { gate.reset(); }

  std::string Disk() { return pair.folder.File("vda"); }
  std::string Folder() { return options.root + "/vm"; }
  /// What a primary keeps that was protected by the backup of the pair.
  GuestRecord Protected() {
    GuestRecord record;
    record.guest = "vm";
    record.role = wire::Role::kPrimary;
    record.given = true;
    record.life[0] = 1;
    record.lineage = FirstOf(1).lineage;
    record.backup_host = "127.0.0.1";
    record.backup_port = pair.listener.port();
    record.disks = BindDisks("vm", {{"vda", 8192}}, {{"vda", Disk()}}, blkrep::Claim::kUnlessMarked).value();
    return record;
  }
  void Save(const GuestRecord& record) { HAVEN_CHECK_OK(blkrep::SaveGuestRecord(Folder(), record)); }
  GuestRecord Saved() { return *blkrep::LoadGuestRecord(Folder()).value(); }
  void Close() {
    gate = StartGate::Close(options, told);
    CHECK(gate != nullptr);
  }
  bool Says(const std::string& part) {
    return Eventually([&] {
      pair.clock.Pass(milliseconds(1000));  // it asks again
      return told.Message().find(part) != std::string::npos;
    });
  }
  bool Opens() {
    return Eventually([&] {
      pair.clock.Pass(milliseconds(1000));
      return told.IsOpen();
    });
  }
  /// The backup has committed an epoch of this guest's first run, which is gone.
  void BackupHoldsACheckpoint() {
    pair.StartBackup();
    HandMadeSession session(pair.listener.port());
    CHECK(session.SendLayout().header.type == wire::Type::kLayoutReply);
    session.SendEpoch(1);
    CHECK(session.control.Next().header.type == wire::Type::kCommitted);
    CHECK(pair.BackupReaches(BackupState::kProtecting));
    session.Close();
    CHECK(pair.BackupReaches(BackupState::kPrimaryLost));
  }
};

TEST(StartGate, IsNotThereForAGuestThatWasNeverProtected) {
  CHECK(StartGate::Close(options, told) == nullptr);
  // Nor for other disks of the same name, or a copy that took the mark along.
  Save(Protected());
  std::filesystem::rename(Disk(), Disk() + ".old");
  WriteFile(Disk(), Bytes(8192, 2));
  CHECK(StartGate::Close(options, told) == nullptr);
  char mark[200];
  const ssize_t size = getxattr((Disk() + ".old").c_str(), "user.haven", mark, sizeof(mark));
  CHECK(size > 0);
  CHECK_EQUAL(0, setxattr(Disk().c_str(), "user.haven", mark, static_cast<size_t>(size), 0));
  CHECK(StartGate::Close(options, told) == nullptr);
}

TEST(StartGate, IsNotThereForAPromotedGuestWithoutABackup) {
  GuestRecord record = Protected();
  record.backup_host.clear();
  Save(record);
  CHECK(StartGate::Close(options, told) == nullptr);
}

TEST(StartGate, FindsTheGuestByItsDisksWhateverItIsCalledNow) {
  Save(Protected());
  options.guests = {"renamed"};
  Close();
}

TEST(StartGate, GoesByTheNameOfAGuestWhoseDisksAreNotThereYet) {
  Save(Protected());
  options.disks.clear();
  Close();
  gate.reset();
  options.guests = {"another"};
  CHECK(StartGate::Close(options, told) == nullptr);
}

TEST(StartGate, StaysClosedWhileThePromotedCopyRunsAndAfterItHasEnded) {
  BackupHoldsACheckpoint();
  HAVEN_CHECK_OK(pair.backup->Failover(false));
  Save(Protected());
  Close();
  CHECK(Says("was promoted and runs on the backup"));
  pair.activator.PowerOff();
  CHECK(Says("the copy of guest vm on the backup is newer"));
  CHECK_FALSE(told.IsOpen());
  CHECK(Saved() == Protected());
  HAVEN_CHECK_OK(pair.backup->Discard());  // what it says
  CHECK(Opens());
}

TEST(StartGate, WaitsUntilAPersonHasDecidedAboutACheckpoint) {
  BackupHoldsACheckpoint();
  Save(Protected());
  Close();
  CHECK(Says("holds a checkpoint of an earlier run"));
  HAVEN_CHECK_OK(pair.backup->Discard());
  CHECK(Opens());
  CHECK(Saved().lineage.current().origin == Origin::kAlone);
  CHECK_FALSE(Saved().given);
}

TEST(StartGate, OpensByItselfWhereANewRunIsAlwaysRight) {
  pair.backup_options.discard_on_new_life = true;
  BackupHoldsACheckpoint();
  Save(Protected());
  Close();
  CHECK(Opens());
  CHECK(pair.backup->Query().state == BackupState::kWaiting);
}

TEST(StartGate, OpensWhenTheBackupHasNothingNewerAndItIsWrittenDownBefore) {
  pair.StartBackup();
  Save(Protected());
  Close();
  CHECK(Opens());
  CHECK_EQUAL(2, Saved().lineage.generations().size());
  CHECK(pair.backup->Failover(true).code() == StatusCode::kRefused);
}

TEST(StartGate, WaitsForABackupThatDoesNotAnswerForAsLongAsItTakes) {
  Save(Protected());  // nobody takes the connections: they are closed
  Close();
  CHECK(Says("does not say whether its copy is newer"));
  STRCMP_CONTAINS("run haven adopt vm on the primary", told.Message().c_str());
  pair.clock.Pass(std::chrono::hours(1));
  CHECK(Says("it is asked again"));
  CHECK_FALSE(told.IsOpen());
  pair.StartBackup();
  CHECK(Opens());
}

TEST(StartGate, DoesWhatItsPolicySaysWhenThePatienceIsOver) {
  GuestRecord record = Protected();
  record.start_wait_s = 30;
  record.on_start = GuestRecord::OnStart::kStart;
  Save(record);
  Close();
  CHECK(Eventually([&] { return told.Message().find("for 30 s, then the guest is started") != std::string::npos; }));
  CHECK(Opens());
}

TEST(StartGate, AsksTheArbiterAboutTheLastSession) {
  GuestRecord record = Protected();
  record.session[0] = 0xAB;
  record.on_start = GuestRecord::OnStart::kArbiter;
  record.arbiter = pair.Arbiter("exit 1");
  Save(record);
  Close();
  CHECK(Says("the arbiter does not let this one run"));
  CHECK_FALSE(told.IsOpen());
  STRCMP_CONTAINS("primary ab00", pair.Asked().c_str());
  (void)pair.Arbiter("exit 0");
  CHECK(Opens());
}

TEST(StartGate, DoesNotWaitAfterAnEndThatBothSidesKnow) {
  GuestRecord record = Protected();
  record.life_ended = true;
  Save(record);
  Close();
  CHECK(Opens());
}

TEST(StartGate, OpensWhenAPersonSaysThatThisCopyCounts) {
  BackupHoldsACheckpoint();
  HAVEN_CHECK_OK(pair.backup->Failover(false));
  Save(Protected());
  Close();
  CHECK(Says("runs on the backup"));
  HAVEN_CHECK_OK(gate->Adopt());
  CHECK(told.IsOpen());
  CHECK(Saved().lineage.current().origin == Origin::kAdopted);
  CHECK(gate->Discard().code() == StatusCode::kRefused);
}

TEST(StartGate, StaysClosedForACopyThatWasThrownAway) {
  auto adopted = Protected();  // by the havend of this host, an earlier time
  adopted.adopted = true;
  Save(adopted);
  Close();
  HAVEN_CHECK_OK(gate->Discard());
  CHECK(Says("was thrown away by haven discard"));
  CHECK(Saved().discarded);
  CHECK_FALSE(Saved().adopted);
  gate.reset();
  Close();  // and when it is started again
  CHECK(Says("was thrown away by haven discard"));
}

TEST(StartGate, StaysClosedForAReplica) {
  GuestRecord record = Protected();
  record.role = wire::Role::kBackup;
  Save(record);
  Close();
  CHECK(Says("these disks are the replicas of guest vm"));
}

TEST(StartGate, StaysClosedForAProtectedDiskWhoseRecordIsGone) {
  Save(Protected());
  std::filesystem::remove_all(options.root);
  Close();
  CHECK(Says("no record in"));
  STRCMP_CONTAINS(Disk().c_str(), told.Message().c_str());
  HAVEN_CHECK_OK(gate->Adopt());
  gate.reset();
  CHECK(StartGate::Close(options, told) == nullptr);
}

TEST(StartGate, StaysClosedWhenTheRecordCannotBeRead) {
  Save(Protected());
  WriteFile(Folder() + "/generation", Bytes(50, 3));
  Close();
  CHECK(Says("cannot use"));
  STRCMP_CONTAINS("run haven adopt vm here", told.Message().c_str());
  HAVEN_CHECK_OK(gate->Adopt());
  CHECK(told.IsOpen());
}
