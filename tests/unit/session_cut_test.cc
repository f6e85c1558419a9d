// SPDX-License-Identifier: GPL-2.0-or-later
//
// A recorded session whose connections end after every octet. Wherever that
// is, the backup is left with exactly one committed epoch, memory, device
// state and disks of the same one, or with none.

#include <sys/socket.h>

#include "core/assert.h"
#include "tests/unit/blkrep_support.h"
#include "blkrep/disk_use.h"
#include "tests/unit/session_recording.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::session;
using namespace haven::session::test;
using haven::test::RecordingSender;

namespace {

/// A backup that is fed records by hand.
class PassiveBackup : private BackupSession::Events {
 public:
  /// Without DISK_ACK_EPOCH it is fed in the order of the recording, else by two threads.
  explicit PassiveBackup(uint64_t features = wire::kFeaturesKnown & ~wire::kFeatureDiskAckEpoch)
      : session_(*this, control_, features) {
    options_.state_dir = folder_.File("state");
    options_.ram_region = "pc.ram";
    options_.disks = {{"vda", folder_.File("vda")}, {"vdb", folder_.File("vdb")}};
    options_.memory_limit_bytes = 1 << 30;
  }

  Status Feed(wire::Connection connection, Record record) {
    if (record.header.type == wire::Type::kHello) return wire::DecodeHello(record.body).status();
    switch (connection) {
      case wire::Connection::kControl: return session_.OnControl(record);
      case wire::Connection::kDisk: return session_.OnDisk(record, acks_);
      case wire::Connection::kMemory: return session_.OnMemory(record);
      case wire::Connection::kQuery: break;
    }
    HAVEN_ASSERT(false);
  }
  Status Feed(const Recording::Sent& sent) { return Feed(sent.connection, Parse(sent.octets)); }

  static Record Parse(const Bytes& octets) {
    auto header = wire::DecodeHeader(ByteSpan(octets).first(wire::kHeaderBytes));
    HAVEN_ASSERT(header.ok());
    return {header.value(), Bytes(octets.begin() + wire::kHeaderBytes, octets.end())};
  }

  std::vector<std::string> paths() const { return {folder_.File("vda"), folder_.File("vdb")}; }
  BackupStore* store() { return store_.get(); }
  /// havend dies and is started again.
  void Die() { store_.reset(); }
  const StoreOptions& options() const { return options_; }
  RecordingSender& control() { return control_; }
  void End() { session_.End(); }

 private:
  Status OnIdentity(const wire::Identity&, wire::Identity&) override { return Status::Ok(); }
  Result<std::unique_ptr<memrep::StoreLease>> OnStore(const wire::Token& host) override {
    return page_stores_.Lease("group", host);
  }
  Result<BackupStore*> OnLayout(const wire::Layout& layout, std::vector<wire::LayoutReply::Copy>& copies) override {
    copies.assign(layout.disks.size(), wire::LayoutReply::Copy::kAll);
    store_.reset();
    auto store =
        BackupStore::Create(options_, layout, std::vector(layout.disks.size(), blkrep::ReplicaOptions{true, false}));
    if (!store.ok()) return store.status();
    HAVEN_RETURN_IF_ERROR(store.value()->Begin(options_));
    store_ = std::move(store.value());
    return store_.get();
  }
  void OnMachine(std::string) override {}
  void OnCommitted(Epoch) override {}
  void OnGoodbye(wire::Goodbye) override {}
  Status OnLiveness(const wire::Liveness&) override { return Status::Ok(); }

  blkrep::test::TempFolder folder_;
  memrep::PageStores page_stores_{64};
  StoreOptions options_;
  std::unique_ptr<BackupStore> store_;
  RecordingSender control_, acks_;
  BackupSession session_;
};

}  // namespace

TEST_GROUP(CutSession){const Recording & recording(){static const Recorder recorder(6);
return recorder.recording();
}
/// What is left is the guest at the checkpoint of epoch `committed`.
void CheckLeft(PassiveBackup& backup, Epoch committed) {
  CHECK_EQUAL(committed, backup.store()->committed());
  CHECK_EQUAL(committed, backup.store()->image().epoch());
  if (committed == 0) return;
  GuestState left = StateOf(backup.store()->image(), backup.paths());
  const GuestState& expected = recording().states[committed];
  CHECK(left.memory == expected.memory);
  CHECK(left.device == expected.device);
  CHECK(left.disks == expected.disks);
}
Epoch EpochsEndedIn(size_t records) {
  Epoch ended = 0;
  for (size_t i = 0; i < records; i++) {
    if (PassiveBackup::Parse(recording().sent[i].octets).header.type == wire::Type::kEpochEnd) ended++;
  }
  return ended;
}
}
;

TEST(CutSession, TheRecordingIsAWholeSession) {
  PassiveBackup backup;
  for (const auto& sent : recording().sent) HAVEN_CHECK_OK(backup.Feed(sent));
  HAVEN_CHECK_OK(backup.store()->Finish());
  CheckLeft(backup, 6);
  Epoch committed = 0;
  for (const Record& record : backup.control().records) {
    if (record.header.type != wire::Type::kCommitted) continue;
    committed++;
    CHECK_EQUAL(committed, record.header.epoch);
    auto figures = wire::DecodeCommitted(record.body);
    HAVEN_CHECK_OK(figures.status());
    CHECK(figures.value().apply_us == 0 || committed > 1);
  }
  CHECK_EQUAL(6, committed);
}

TEST(CutSession, EndsWithOneWholeEpochAfterAnyRecord) {
  for (size_t records = 0; records <= recording().sent.size(); records++) {
    PassiveBackup backup;
    for (size_t i = 0; i < records; i++) HAVEN_CHECK_OK(backup.Feed(recording().sent[i]));
    if (backup.store() == nullptr) continue;
    HAVEN_CHECK_OK(backup.store()->Finish());
    CheckLeft(backup, EpochsEndedIn(records));
  }
}

TEST(CutSession, ARecordThatIsCutAfterAnyOctetDoesNotCount) {
  // Every octet of each record; pages are alike, so every 61st of theirs.
  size_t cuts = 0;
  for (const auto& sent : recording().sent) {
    Bytes octets = sent.octets;
    HAVEN_ASSERT(octets.size() >= 20);
    for (size_t i = 16; i < 20; i++) octets[i] = 0;  // the first record of a link of its own
    haven::test::MendChecksums(octets);
    for (size_t cut = 0; cut < octets.size(); cut += cut < 600 ? 1 : 61) {
      int ends[2];
      HAVEN_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
      HAVEN_ASSERT(write(ends[1], octets.data(), cut) == static_cast<ssize_t>(cut));
      close(ends[1]);
      Link link(ends[0]);
      Record record;
      HAVEN_CHECK_FAILS(StatusCode::kPeerLost, "the peer closed the connection", link.Receive(record));
      cuts++;
    }
  }
  CHECK(cuts > 5000);
}

TEST(CutSession, HavendThatDiesAfterAnyRecordRecoversTheDisksOfTheLastCommittedEpoch) {
  for (size_t records = 0; records <= recording().sent.size(); records++) {
    PassiveBackup backup;
    for (size_t i = 0; i < records; i++) HAVEN_CHECK_OK(backup.Feed(recording().sent[i]));
    Epoch ended = EpochsEndedIn(records);
    backup.Die();
    auto recovered = BackupStore::Recover(backup.options());
    HAVEN_CHECK_OK(recovered.status());
    CHECK_EQUAL(ended, recovered.value());
    if (ended == 0) continue;
    for (size_t disk = 0; disk < 2; disk++) {
      CHECK(blkrep::test::ReadFile(backup.paths()[disk]) == recording().states[ended].disks[disk]);
    }
  }
}

TEST(CutSession, WithAnyRecordMissingTheEpochOfItDoesNotCommit) {
  for (size_t missing = 0; missing < recording().sent.size(); missing++) {
    Record record = PassiveBackup::Parse(recording().sent[missing].octets);
    // What is not missed: greetings, heartbeats, flushes, and the first copy,
    // which is no state to return to.
    bool counts = record.header.epoch > 0 && record.header.type != wire::Type::kDiskFlush;
    if (!counts) continue;
    PassiveBackup backup;
    Status status;
    for (size_t i = 0; i < recording().sent.size() && status.ok(); i++) {
      if (i != missing) status = backup.Feed(recording().sent[i]);
    }
    // Of an epoch that has not ended (yet) nothing is missed.
    bool last_end = record.header.type == wire::Type::kEpochEnd && record.header.epoch == 6;
    CHECK_EQUAL(record.header.epoch > 6 || last_end, status.ok());
    HAVEN_CHECK_OK(backup.store()->Finish());
    CheckLeft(backup, std::min<Epoch>(record.header.epoch - 1, 6));
  }
}

TEST(CutSession, WithAnyBodyOctetChangedNothingCrashesAndNoEpochIsHalf) {
  std::mt19937 random(7);
  for (size_t changed = 0; changed < recording().sent.size(); changed++) {
    for (int attempt = 0; attempt < 12; attempt++) {
      PassiveBackup backup;
      Status status;
      bool contents_may_differ = false;
      for (size_t i = 0; i < recording().sent.size() && status.ok(); i++) {
        Record record = PassiveBackup::Parse(recording().sent[i].octets);
        if (i == changed && !record.body.empty()) {
          size_t interesting = std::min<size_t>(record.body.size(), 40);
          record.body[random() % interesting] ^= static_cast<uint8_t>(1 << random() % 8);
          contents_may_differ = true;
        }
        status = backup.Feed(recording().sent[i].connection, std::move(record));
      }
      if (backup.store() == nullptr) continue;
      HAVEN_CHECK_OK(backup.store()->Finish());
      Epoch committed = backup.store()->committed();
      CHECK_EQUAL(committed, backup.store()->image().epoch());
      if (!contents_may_differ) CheckLeft(backup, committed);
    }
  }
}

TEST_GROUP(BackupStore) {
  PassiveBackup backup;

  const Recording& recording() {
    static const Recorder recorder(2);
    return recorder.recording();
  }
};

TEST(BackupStore, GivesNothingOfAnEarlierCopyUpBeforeTheNewOneHasBegun) {
  for (const auto& sent : recording().sent) HAVEN_CHECK_OK(backup.Feed(sent));
  backup.Die();
  const std::vector may(2, blkrep::ReplicaOptions{});
  HAVEN_CHECK_OK(BackupStore::Create(backup.options(), recording().layout, may).status());
  auto recovered = BackupStore::Recover(backup.options());
  HAVEN_CHECK_OK(recovered.status());
  CHECK_EQUAL(2, recovered.value());
  for (size_t disk = 0; disk < 2; disk++)
    CHECK(blkrep::test::ReadFile(backup.paths()[disk]) == recording().states[2].disks[disk]);
}

TEST(BackupStore, TakesADiskOfAnotherSizeOnlyWhereItMay) {
  for (const auto& sent : recording().sent) HAVEN_CHECK_OK(backup.Feed(sent));
  backup.Die();
  wire::Layout larger = recording().layout;
  larger.disks[0].bytes = 8192;
  CHECK(BackupStore::Create(backup.options(), larger, {{}, {}}).status().code() == StatusCode::kRefused);
  CHECK_EQUAL(2048, blkrep::test::ReadFile(backup.paths()[0]).size());
  auto store = BackupStore::Create(backup.options(), larger, {{false, true}, {}});
  HAVEN_CHECK_OK(store.status());
  CHECK_EQUAL(8192, blkrep::test::ReadFile(backup.paths()[0]).size());
  CHECK_EQUAL(0, store.value()->committed());
}

TEST(BackupStore, DoesNotMakeAReplicaThatIsMissingWhenItRecovers) {
  for (const auto& sent : recording().sent) HAVEN_CHECK_OK(backup.Feed(sent));
  backup.Die();
  const std::string path = backup.paths()[0];
  std::filesystem::remove(path);
  const Status refused = BackupStore::Recover(backup.options()).status();
  CHECK(refused.code() == StatusCode::kRefused);
  STRCMP_CONTAINS("recovery of an earlier run: replica of disk vda: ", refused.message().c_str());
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST(BackupStore, TakesNoDiskRecordAfterItGaveTheReplicasAway) {
  for (const auto& sent : recording().sent) HAVEN_CHECK_OK(backup.Feed(sent));
  HAVEN_CHECK_OK(backup.store()->Finish());
  backup.store()->ReleaseReplicas();
  HAVEN_CHECK_OK(blkrep::RefuseIfInUse(backup.paths()[0]));
  Record record;
  record.header.type = wire::Type::kDiskZero;
  record.header.epoch = backup.store()->committed() + 1;
  wire::DiskRequest request;
  request.bytes = 512;
  record.body = wire::Encode(request);
  CHECK_FALSE(backup.store()->OnDiskRecord(record, request).ok());
  HAVEN_CHECK_OK(backup.store()->Finish());
}

TEST(BackupStore, IsOfNoUseAfterAReplicaFailedToTakeACommittedEpoch) {
  for (const auto& sent : recording().sent) {
    Record record = PassiveBackup::Parse(sent.octets);
    if (record.header.type == wire::Type::kEpochEnd && record.header.epoch == 2) {
      // Stands for a replica that cannot be written: the journal's data is gone.
      std::string journal = backup.options().state_dir + "/journal";
      for (const char* file : {"", ".2"}) {
        Bytes octets = blkrep::test::ReadFile(journal + file);
        for (size_t i = 64; i < octets.size(); i++) octets[i] ^= 0xFF;
        blkrep::test::WriteFile(journal + file, octets);
      }
      Status status = backup.Feed(sent);
      CHECK(status.code() == StatusCode::kEnvironment);
      CHECK_FALSE(backup.store()->Finish().ok());
      CHECK_FALSE(backup.store()->Finish().ok());
      return;
    }
    HAVEN_CHECK_OK(backup.Feed(sent));
  }
  FAIL("the recording has no second epoch");
}

TEST(CutSession, WhatTheGuestDoesIsRefusedWithoutItsFeature) {
  PassiveBackup backup(wire::kFeaturesKnown & ~wire::kFeatureDiskAckEpoch & ~wire::kFeatureGuestRun);
  for (const auto& sent : recording().sent) {
    Record record = PassiveBackup::Parse(sent.octets);
    if (record.header.type != wire::Type::kEpochEnd) {
      HAVEN_CHECK_OK(backup.Feed(sent));
      continue;
    }
    record.body[30] = static_cast<uint8_t>(wire::GuestRun::kRunning);
    HAVEN_CHECK_FAILS(StatusCode::kProtocol, "EPOCH_END says what the guest does without the feature GUEST_RUN",
                      backup.Feed(sent.connection, record));
    CheckLeft(backup, 0);
    HAVEN_CHECK_OK(backup.Feed(sent));
    return;
  }
  FAIL("the recording has no epoch");
}

TEST(CutSession, ACommitWaitsForDiskRecordsThatComeLater) {
  PassiveBackup backup(wire::kFeaturesKnown);
  const auto feed = [&](wire::Connection connection, bool sync) {
    for (const auto& sent : recording().sent) {
      const Record record = PassiveBackup::Parse(sent.octets);
      if (sent.connection == connection && (record.header.epoch == kSyncEpoch) == sync)
        HAVEN_CHECK_OK(backup.Feed(sent));
    }
  };
  feed(wire::Connection::kControl, true);
  feed(wire::Connection::kDisk, true);
  std::thread memory([&] {
    feed(wire::Connection::kMemory, true);
    feed(wire::Connection::kMemory, false);
  });
  feed(wire::Connection::kDisk, false);
  memory.join();
  HAVEN_CHECK_OK(backup.store()->Finish());
  CheckLeft(backup, 6);
}

TEST(CutSession, DiskRecordsThatNeverComeLeaveTheEpochBefore) {
  PassiveBackup backup(wire::kFeaturesKnown);
  Status ended;
  Epoch last = 0;
  std::thread memory;
  for (const auto& sent : recording().sent) {
    const Record record = PassiveBackup::Parse(sent.octets);
    if (sent.connection == wire::Connection::kDisk && record.header.epoch > 3) continue;
    if (record.header.type != wire::Type::kEpochEnd || record.header.epoch < 4) {
      HAVEN_CHECK_OK(backup.Feed(sent));
      continue;
    }
    last = record.header.epoch;
    memory = std::thread([&] { ended = backup.Feed(sent); });
    break;
  }
  CHECK_EQUAL(4, last);
  backup.End();
  memory.join();
  HAVEN_CHECK_FAILS(StatusCode::kPeerLost, "the session ended before all disk records of an epoch came", ended);
  HAVEN_CHECK_OK(backup.store()->Finish());
  CheckLeft(backup, 3);
}
