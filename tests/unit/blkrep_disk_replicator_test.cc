// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/disk_replicator.h"

#include <condition_variable>
#include <thread>

#include "tests/unit/blkrep_support.h"
#include "tests/unit/core_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::blkrep;
using haven::blkrep::test::Pattern;
using haven::test::RecordingSender;

namespace {

/// Lets a test wait for what the sender thread sends.
class WaitingSender : public RecordSender {
 public:
  using RecordSender::Send;
  Status Send(wire::Type type, Epoch epoch, std::span<const ByteSpan> parts) override {
    std::lock_guard lock(mutex_);
    Status status = recorded_.Send(type, epoch, parts);
    changed_.notify_all();
    return status;
  }
  /// The first `count` records, when they are there.
  std::vector<Record> Records(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(20), [&] { return recorded_.records.size() >= count; });
    return recorded_.records;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  RecordingSender recorded_;
};

void Count(void* arg) { ++*static_cast<std::atomic<int>*>(arg); }

}  // namespace

TEST_GROUP(DiskReplicator) {
  static constexpr uint64_t kDisk = 1 << 20;
  DiskReplicator replicator{{{"vda", kDisk}, {"vdb", 100 * 1000}}};
  std::unique_ptr<WaitingSender> sender;
  std::thread thread;
  std::atomic<int> done{0};

  void teardown() override { Disconnect(); }

  void Connect(bool copy_all, DiskReplicator::Ack ack = DiskReplicator::Ack::kBackup) {
    sender = std::make_unique<WaitingSender>();
    replicator.Connected({copy_all, copy_all}, ack);
    thread = std::thread([this] { HAVEN_CHECK_OK(replicator.RunSender(*sender)); });
  }
  void Disconnect() {
    replicator.Disconnected();
    if (thread.joinable()) thread.join();
  }
  bool Write(uint64_t offset, uint64_t bytes, uint32_t disk = 0) {
    Bytes data = Pattern(bytes, 1);
    iovec iov{data.data(), data.size()};
    return replicator.Submit({Request::Kind::kWrite, false, disk, offset, bytes}, &iov, 1, 0, Count, &done);
  }
  wire::DiskRequest Head(const Record& record) {
    auto head = wire::DecodeDiskRequest(record.header.type, record.body);
    HAVEN_CHECK_OK(head.status());
    return head.value();
  }
  /// Copies all that there is, acknowledged. @return octets copied.
  uint64_t CopyAll() {
    uint64_t copied = 0;
    size_t sent = 0;
    for (uint32_t disk = 0; disk < 2; disk++) {
      while (auto piece = replicator.NextCopy(disk)) {
        Bytes data(piece->bytes, 0x5A);
        CHECK(replicator.SendCopy(disk, *piece, data.data(), nullptr, nullptr));
        copied += piece->bytes;
        sent++;
        auto records = sender->Records(sent);
        HAVEN_CHECK_OK(replicator.OnAck(Head(records[sent - 1]).request));
      }
    }
    return copied;
  }
};

TEST(DiskReplicator, LetsNobodyWaitWithoutABackup) {
  CHECK_FALSE(Write(0, 512));
  CHECK_FALSE(replicator.Flush(0, Count, &done));
  CHECK_FALSE(replicator.NextCopy(0).has_value());
  CHECK_EQUAL(0, done);
}

TEST(DiskReplicator, CompletesAWriteWhenTheBackupHasItAndNotBefore) {
  Connect(false);
  CHECK(Write(4096, 512));
  auto records = sender->Records(1);
  CHECK(records[0].header.type == wire::Type::kDiskWrite);
  wire::DiskRequest head = Head(records[0]);
  CHECK_EQUAL(4096, head.offset);
  CHECK_EQUAL(512, head.bytes);
  CHECK(Bytes(records[0].body.begin() + wire::kDiskRequestBytes, records[0].body.end()) == Pattern(512, 1));
  CHECK_EQUAL(0, done);
  CHECK(replicator.acks().waiting);
  HAVEN_CHECK_OK(replicator.OnAck(head.request));
  CHECK_EQUAL(1, done);
  CHECK_FALSE(replicator.acks().waiting);
  CHECK_EQUAL(1, replicator.acks().acknowledged);
}

TEST(DiskReplicator, TakesTheDataFromItsPlaceInTheCallersPieces) {
  Connect(false);
  Bytes a = Pattern(100, 1), b = Pattern(50, 2), c = Pattern(100, 3);
  iovec iov[3] = {{a.data(), a.size()}, {b.data(), b.size()}, {c.data(), c.size()}};
  Bytes all = a;
  all.insert(all.end(), b.begin(), b.end());
  all.insert(all.end(), c.begin(), c.end());
  CHECK(replicator.Submit({Request::Kind::kWrite, false, 1, 0, 70}, iov, 3, 90, Count, &done));
  std::fill(a.begin(), a.end(), 0);  // the caller may use it again at once
  Record record = sender->Records(1)[0];
  CHECK(Bytes(record.body.begin() + 32, record.body.end()) == Bytes(all.begin() + 90, all.begin() + 160));
}

TEST(DiskReplicator, SplitsALargeWriteAndCompletesItOnceWithTheLastPiece) {
  DiskReplicator large({{"vda", 16 << 20}});
  WaitingSender out;
  large.Connected({false});
  std::thread sending([&] { HAVEN_CHECK_OK(large.RunSender(out)); });
  constexpr uint64_t kBytes = (4 << 20) + 512;
  Bytes data = Pattern(kBytes, 4);
  iovec iov{data.data(), data.size()};
  CHECK(large.Submit({Request::Kind::kWrite, false, 0, 1024, kBytes}, &iov, 1, 0, Count, &done));
  auto records = out.Records(3);
  CHECK_EQUAL(3, records.size());
  uint64_t at = 0;
  for (const Record& record : records) {
    wire::DiskRequest head = Head(record);
    CHECK(head.bytes <= wire::kMaxDiskDataBytes);
    CHECK_EQUAL(1024 + at, head.offset);
    MEMCMP_EQUAL(data.data() + at, record.body.data() + 32, head.bytes);
    at += head.bytes;
  }
  CHECK_EQUAL(kBytes, at);
  for (int i : {2, 0}) HAVEN_CHECK_OK(large.OnAck(Head(records[i]).request));
  CHECK_EQUAL(0, done);
  HAVEN_CHECK_OK(large.OnAck(Head(records[1]).request));
  CHECK_EQUAL(1, done);
  large.Disconnected();
  sending.join();
}

TEST(DiskReplicator, CompletesASplitWriteOnceWhenTheBackupIsLostInBetween) {
  DiskReplicator large({{"vda", 16 << 20}});
  WaitingSender out;
  large.Connected({false});
  std::thread sending([&] { HAVEN_CHECK_OK(large.RunSender(out)); });
  Bytes data(5 << 20);
  iovec iov{data.data(), data.size()};
  CHECK(large.Submit({Request::Kind::kWrite, false, 0, 0, data.size()}, &iov, 1, 0, Count, &done));
  HAVEN_CHECK_OK(large.OnAck(Head(out.Records(3)[0]).request));
  CHECK_EQUAL(0, done);
  large.Disconnected();
  sending.join();
  CHECK_EQUAL(1, done);
}

TEST(DiskReplicator, SendsZerosAndDiscardsOfAnyLengthWithoutData) {
  Connect(false);
  CHECK(replicator.Submit({Request::Kind::kZero, true, 0, 0, kDisk}, nullptr, 0, 0, Count, &done));
  CHECK(replicator.Submit({Request::Kind::kDiscard, false, 0, 4096, 8192}, nullptr, 0, 0, Count, &done));
  auto records = sender->Records(2);
  CHECK(records[0].header.type == wire::Type::kDiskZero);
  CHECK_EQUAL(wire::kDiskSync | wire::kDiskMayUnmap, Head(records[0]).flags);
  CHECK_EQUAL(kDisk, Head(records[0]).bytes);
  CHECK(records[1].header.type == wire::Type::kDiskDiscard);
  CHECK_EQUAL(wire::kDiskRequestBytes, records[1].body.size());
}

TEST(DiskReplicator, CompletesAllThatWaitsWhenTheBackupIsLostAndCopiesItAfterwards) {
  Connect(false);
  CHECK(Write(0, 512));
  CHECK(Write(200000, 512));
  CHECK(replicator.Flush(1, Count, &done));
  sender->Records(3);
  Disconnect();
  CHECK_EQUAL(3, done);
  CHECK_FALSE(Write(700000, 512));  // while nobody is there
  Disconnect();
  CHECK_EQUAL(3, done);

  Connect(false);
  std::vector<std::pair<uint64_t, uint64_t>> pieces;
  while (auto piece = replicator.NextCopy(0)) pieces.push_back({piece->offset, piece->bytes});
  CHECK(pieces == (std::vector<std::pair<uint64_t, uint64_t>>{{0, 65536}, {196608, 65536}, {655360, 65536}}));
  CHECK_FALSE(replicator.NextCopy(1).has_value());
}

TEST(DiskReplicator, CopiesEverythingToAnEmptyBackup) {
  Connect(true);
  CHECK_FALSE(replicator.SyncDone());
  CHECK_EQUAL(kDisk + 100000, replicator.SyncLeftBytes());
  CHECK_EQUAL(kDisk + 100000, CopyAll());
  CHECK(replicator.SyncDone());
  CHECK_EQUAL(0, replicator.SyncLeftBytes());
}

TEST(DiskReplicator, IsNotInSyncWhileACopyIsOnItsWay) {
  Connect(true);
  std::vector<DirtyMap::Piece> pieces;
  for (uint32_t disk = 0; disk < 2; disk++) {
    while (auto piece = replicator.NextCopy(disk)) {
      CHECK(replicator.SendCopy(disk, *piece, nullptr, nullptr, nullptr));
      pieces.push_back(*piece);
    }
  }
  auto records = sender->Records(pieces.size());
  for (const Record& record : records) {
    CHECK(record.header.type == wire::Type::kDiskZero);
    CHECK_EQUAL(0, record.header.epoch);
    CHECK_EQUAL(wire::kDiskSync | wire::kDiskMayUnmap, Head(record).flags);
    CHECK_FALSE(replicator.SyncDone());
    HAVEN_CHECK_OK(replicator.OnAck(Head(record).request));
  }
  CHECK(replicator.SyncDone());
}

TEST(DiskReplicator, CopiesAgainWhatALostConnectionHadNotAcknowledged) {
  Connect(true);
  auto first = replicator.NextCopy(0);
  auto second = replicator.NextCopy(0);
  Bytes data(first->bytes, 1);
  CHECK(replicator.SendCopy(0, *first, data.data(), Count, &done));
  Disconnect();
  CHECK_EQUAL(1, done);
  CHECK_FALSE(replicator.SendCopy(0, *second, data.data(), Count, &done));  // it was read meanwhile
  Connect(false);
  CHECK_EQUAL(kDisk + 100000, CopyAll());
  CHECK(replicator.SyncDone());
}

TEST(DiskReplicator, DoesNotSendToANewBackupWhatWasReadForTheOld) {
  Connect(true);
  auto piece = replicator.NextCopy(0);
  Bytes data(piece->bytes, 1);
  Disconnect();
  Connect(true);
  CHECK_FALSE(replicator.SendCopy(0, *piece, data.data(), Count, &done));
  CHECK_EQUAL(0, done);
  CHECK_EQUAL(kDisk + 100000, CopyAll());
  CHECK(replicator.SyncDone());
}

TEST(DiskReplicator, CountsTheRecordsOfAnEpochAtTheCut) {
  Connect(false);
  CHECK(Write(0, 512));  // before the first cut: part of the synchronisation
  CHECK_EQUAL(0, replicator.Cut());
  CHECK(Write(512, 512));
  CHECK(replicator.Submit({Request::Kind::kDiscard, false, 1, 0, 512}, nullptr, 0, 0, Count, &done));
  CHECK(replicator.Flush(0, Count, &done));  // does not count
  CHECK_EQUAL(2, replicator.Cut());
  CHECK_EQUAL(0, replicator.Cut());
  auto records = sender->Records(4);
  CHECK_EQUAL(0, records[0].header.epoch);
  CHECK_EQUAL(wire::kDiskSync, Head(records[0]).flags);
  CHECK_EQUAL(2, records[1].header.epoch);
  CHECK_EQUAL(0, Head(records[1]).flags);
  CHECK_EQUAL(2, records[2].header.epoch);
  CHECK(records[3].header.type == wire::Type::kDiskFlush);
}

TEST(DiskReplicator, CopiesAfterALossOnlyWhatIsNotCommitted) {
  Connect(false);
  CHECK(Write(0, 512));
  replicator.Cut();  // epoch 1
  CHECK(Write(300000, 512));
  replicator.Cut();  // epoch 2
  CHECK(Write(600000, 512));
  for (const Record& record : sender->Records(3)) HAVEN_CHECK_OK(replicator.OnAck(Head(record).request));
  replicator.Committed(1);
  Disconnect();
  Connect(false);
  std::vector<uint64_t> offsets;
  while (auto piece = replicator.NextCopy(0)) offsets.push_back(piece->offset);
  CHECK(offsets == (std::vector<uint64_t>{262144, 589824}));
}

TEST(DiskReplicator, RefusesAnAcknowledgementOfNothing) {
  Connect(false);
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "DISK_ACK of request 99, which is not in flight", replicator.OnAck(99));
  CHECK(Write(0, 512));
  uint64_t request = Head(sender->Records(1)[0]).request;
  HAVEN_CHECK_OK(replicator.OnAck(request));
  CHECK(replicator.OnAck(request).code() == StatusCode::kProtocol);
  CHECK_EQUAL(1, done);
  Disconnect();
  HAVEN_CHECK_OK(replicator.OnAck(request));  // late, of a connection that has ended
}

TEST(DiskReplicator, LetsTheGuestGoOnAtOnceWhenItsEpochIsWhatIsWaitedFor) {
  Connect(false, DiskReplicator::Ack::kEpoch);
  CHECK(Write(0, 512));  // still of the first copy
  HAVEN_CHECK_OK(replicator.OnAck(Head(sender->Records(1)[0]).request));
  CHECK_EQUAL(1, done);
  replicator.Cut();
  CHECK_FALSE(Write(4096, 512));
  CHECK_FALSE(replicator.Flush(0, Count, &done));
  wire::DiskRequest head = Head(sender->Records(2)[1]);
  CHECK_EQUAL(4096, head.offset);
  CHECK(replicator.acks().waiting);
  CHECK_EQUAL(1, replicator.Cut());
  HAVEN_CHECK_OK(replicator.OnAck(head.request));
  CHECK_FALSE(replicator.acks().waiting);
  CHECK_EQUAL(1, done);
}

TEST(DiskReplicator, LetsTheGuestWaitAgainWhenTooMuchIsOnTheWay) {
  DiskReplicator large({{"vda", 16 << 20}});
  large.Connected({false}, DiskReplicator::Ack::kEpoch);
  large.Cut();
  Bytes data(4 << 20);
  iovec iov{data.data(), data.size()};
  const Request request{Request::Kind::kWrite, false, 0, 0, data.size()};
  uint64_t ahead = 0;
  while (!large.Submit(request, &iov, 1, 0, Count, &done)) {
    ahead += data.size();
    CHECK(ahead <= DiskReplicator::kMostUnacknowledgedBytes);
  }
  CHECK_EQUAL(DiskReplicator::kMostUnacknowledgedBytes, ahead);
  CHECK_EQUAL(0, done);
  large.Disconnected();
  CHECK_EQUAL(1, done);
}

TEST(DiskReplicator, CopiesAgainWhatWasWrittenAheadOfABackupThatIsLost) {
  Connect(false, DiskReplicator::Ack::kEpoch);
  replicator.Cut();
  CHECK_FALSE(Write(64 << 10, 512));
  Disconnect();
  Connect(false, DiskReplicator::Ack::kEpoch);
  auto piece = replicator.NextCopy(0);
  CHECK(piece.has_value());
  CHECK_EQUAL(64 << 10, piece->offset);
}
