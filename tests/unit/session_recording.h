/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_UNIT_SESSION_RECORDING_H
#define HAVEN_TESTS_UNIT_SESSION_RECORDING_H

#include <mutex>
#include <thread>
#include <vector>

#include "session/backup_session.h"
#include "session/memory_sender.h"
#include "tests/unit/core_support.h"
#include "tests/unit/session_fakes.h"

namespace haven::session::test {

/// What a primary sends in a session, in the order in which the backup gets
/// it, and what the guest was at each checkpoint.
struct Recording {
  struct Sent {
    wire::Connection connection;
    Bytes octets;  ///< one whole record
  };
  std::vector<Sent> sent;
  std::vector<GuestState> states;  ///< [e]: at the checkpoint that epoch e commits; [0] is nothing
  wire::Layout layout;

  /// The octets of one connection from HELLO on.
  Bytes StreamOf(wire::Connection connection) const {
    Bytes out;
    for (const Sent& one : sent) {
      if (one.connection == connection) out.insert(out.end(), one.octets.begin(), one.octets.end());
    }
    return out;
  }
};

/// Runs the primary's parts without threads of their own or sockets: a small
/// guest, its first copy, then `epochs` epochs with memory, disk and device
/// changes; the disk runs ahead of the memory, as it does. Always the same.
class Recorder {
 public:
  explicit Recorder(int epochs)
      : control_(*this, wire::Connection::kControl),
        disk_(*this, wire::Connection::kDisk),
        memory_(*this, wire::Connection::kMemory) {
    Greet();
    guest_.disks = &replicator_;
    replicator_.Connected({true, true});
    std::thread sender([this] { (void)replicator_.RunSender(disk_).ok(); });
    FirstCopy();
    for (int epoch = 1; epoch <= epochs; epoch++) OneEpoch(epoch);
    replicator_.Disconnected();
    sender.join();
    (void)control_.Send(wire::Type::kHeartbeat, 0, wire::Encode(wire::Heartbeat{1, 0})).ok();
    recording_.states = guest_.saved;
  }
  const Recording& recording() const { return recording_; }

 private:
  class Tap : public RecordSender {
   public:
    Tap(Recorder& recorder, wire::Connection connection) : recorder_(recorder), connection_(connection) {}
    using RecordSender::Send;
    Status Send(wire::Type type, Epoch epoch, std::span<const ByteSpan> parts) override {
      Bytes body;
      for (ByteSpan part : parts) body.insert(body.end(), part.begin(), part.end());
      recorder_.Add(connection_, haven::test::RecordOctets(type, epoch, sequence_++, body));
      // The backup of this recording acknowledges at once.
      if (connection_ == wire::Connection::kDisk && type != wire::Type::kHello) {
        return recorder_.replicator_.OnAck(ByteReader(body).U64());
      }
      return Status::Ok();
    }

   private:
    Recorder& recorder_;
    wire::Connection connection_;
    uint32_t sequence_ = 0;
  };

  void Add(wire::Connection connection, Bytes octets) {
    std::lock_guard lock(mutex_);
    recording_.sent.push_back({connection, std::move(octets)});
  }
  void Greet() {
    wire::Hello hello;
    hello.guest = "vm";
    for (Tap* tap : {&control_, &disk_, &memory_}) {
      hello.connection = tap == &control_ ? wire::Connection::kControl
                         : tap == &disk_  ? wire::Connection::kDisk
                                          : wire::Connection::kMemory;
      hello.token[0] = tap == &control_ ? 0 : 7;
      (void)tap->Send(wire::Type::kHello, 0, wire::Encode(hello)).ok();
    }
    wire::Layout& layout = recording_.layout;
    layout.instance[0] = 9;
    for (const auto& region : guest_.regions()) layout.regions.push_back({region.name, region.bytes});
    for (const auto& disk : replicator_.disks()) layout.disks.push_back({disk.name, disk.bytes});
    (void)control_.Send(wire::Type::kIdentity, 0, wire::Encode(wire::Identity{})).ok();
    (void)control_.Send(wire::Type::kLayout, 0, wire::Encode(layout)).ok();
  }
  void Settle() {
    (void)Eventually([this] { return guest_.unfinished_writes() == 0 && !replicator_.acks().waiting; });
  }
  void FirstCopy() {
    guest_.WritePage(0, 1, 1);
    (void)guest_.SetDirtyLog(true).ok();
    checkpointer_.Prepare(AfterHarvest::kForget);
    (void)checkpointer_.Harvest().ok();
    (void)sender_.SendLive(checkpointer_.bitmaps(), [](uint64_t) {}).ok();
    guest_.WriteDisk(0, 100, 50, 3);
    Settle();
    for (uint32_t disk = 0; disk < 2; disk++) {
      guest_.StartDiskCopy(disk);
      Settle();
    }
  }
  void DiskChanges(int epoch) {
    auto value = static_cast<uint8_t>(epoch);
    guest_.WriteDisk(0, static_cast<uint64_t>(epoch) * 10, 30, value);
    Settle();
    if (epoch % 2 == 0) guest_.ZeroDisk(0, 100, 20);
    if (epoch % 3 == 0) guest_.WriteDisk(1, 0, 64, value);
    Settle();
    (void)replicator_.Flush(0, nullptr, nullptr);
    Settle();
  }
  void OneEpoch(int epoch) {
    guest_.WritePage(0, static_cast<uint64_t>(epoch % 3), static_cast<uint8_t>(epoch * 3));
    if (epoch % 2 == 0) guest_.WritePage(0, 69, 0);
    checkpointer_.Prepare(AfterHarvest::kForget);
    (void)checkpointer_.Take(checkpoint_, Checkpointer::Then::kResume, [] {}).ok();
    if (epoch % 2 == 1) DiskChanges(epoch);  // of the next epoch, before this one's EPOCH_END
    (void)sender_.SendEpoch(checkpoint_, checkpointer_.snapshot()).ok();
    (void)sender_.SendEnd(checkpoint_).ok();
    if (epoch % 2 == 0) DiskChanges(epoch);
  }

  FakeGuest guest_{nullptr, {2048, 512}};
  blkrep::DiskReplicator replicator_{guest_.DiskList()};
  std::mutex mutex_;
  Recording recording_;
  Tap control_, disk_, memory_;
  OutputGate output_{guest_, 1 << 20};
  memrep::RawPageEncoder encoder_;
  MemorySender sender_{guest_.regions(), encoder_, memory_};
  Checkpointer checkpointer_{guest_, output_, replicator_, MonotonicClock()};
  Checkpoint checkpoint_;
};

}  // namespace haven::session::test

#endif
