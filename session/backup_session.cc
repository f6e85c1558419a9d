// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/backup_session.h"

#include "core/failpoint.h"

namespace haven::session {
namespace {

Status Protocol(const std::string& why) { return {StatusCode::kProtocol, why}; }

Status Unexpected(const Record& record, const char* connection) {
  return Protocol(std::string("the primary may not send ") + wire::TypeName(record.header.type) + " on the " +
                  connection + " connection");
}

}  // namespace

Status BackupSession::OnControl(const Record& record) {
  switch (record.header.type) {
    case wire::Type::kHeartbeat: {
      auto beat = wire::DecodeHeartbeat(record.body);
      return beat.ok() ? Status::Ok() : beat.status();
    }
    case wire::Type::kLiveness: {
      auto liveness = wire::DecodeLiveness(record.body);
      return liveness.ok() ? events_.OnLiveness(liveness.value()) : liveness.status();
    }
    case wire::Type::kIdentity: return OnIdentity(record);
    case wire::Type::kStore: return OnStore(record);
    case wire::Type::kMachine: return OnMachine(record);
    case wire::Type::kLayout: return OnLayout(record);
    case wire::Type::kGoodbye: {
      auto goodbye = wire::DecodeGoodbye(record.body);
      if (!goodbye.ok()) return goodbye.status();
      // The word of one that has not said whose data it has throws nothing away.
      if (!identified_) return {StatusCode::kPeerLost, "a primary has gone before it said which copy it has"};
      events_.OnGoodbye(goodbye.value().reason);
      if (goodbye.value().reason == wire::Goodbye::kHandedOver) {
        // Answered once the guest runs.
        return {StatusCode::kPeerLost, "the primary has handed the guest over"};
      }
      Status ignored = control_.Send(wire::Type::kGoodbye, kSyncEpoch, record.body);
      (void)ignored;
      return {StatusCode::kPeerLost, "the primary has ended protection"};
    }
    case wire::Type::kError: {
      auto error = wire::DecodeError(record.body);
      if (!error.ok()) return error.status();
      return Protocol("the primary says: " + error.value().message);
    }
    default: return Unexpected(record, "control");
  }
}

Status BackupSession::OnIdentity(const Record& record) {
  if (identified_) return Protocol("a second IDENTITY in one session");
  auto primary = wire::DecodeIdentity(record.body);
  if (!primary.ok()) return primary.status();
  wire::Identity mine;
  Status ruling = events_.OnIdentity(primary.value(), mine);
  identified_ = true;
  // A primary that is refused is told what it was compared with.
  HAVEN_RETURN_IF_ERROR(control_.Send(wire::Type::kIdentity, kSyncEpoch, wire::Encode(mine)));
  return ruling;
}

Status BackupSession::OnStore(const Record& record) {
  if (!identified_) return Protocol("STORE before IDENTITY");
  if ((features_ & wire::kFeatureSharedPages) == 0) return Protocol("STORE without the feature SHARED_PAGES");
  if (store_asked_ || store_ != nullptr) return Protocol("a second STORE in one session, or one after LAYOUT");
  auto asked = wire::DecodeStore(record.body);
  if (!asked.ok()) return asked.status();
  auto lease = events_.OnStore(asked.value().host);
  if (!lease.ok()) return lease.status();
  store_asked_ = true;
  lease_ = std::move(lease.value());
  wire::StoreReply reply{lease_->store().instance(), lease_->store().slots(), lease_->first(), lease_->count()};
  return control_.Send(wire::Type::kStoreReply, kSyncEpoch, wire::Encode(reply));
}

Status BackupSession::OnMachine(const Record& record) {
  if (!identified_) return Protocol("MACHINE before IDENTITY");
  if ((features_ & wire::kFeatureMachine) == 0) return Protocol("MACHINE without the feature MACHINE");
  if (machine_told_ || store_ != nullptr) return Protocol("a second MACHINE in one session, or one after LAYOUT");
  auto machine = wire::DecodeMachine(record.body);
  if (!machine.ok()) return machine.status();
  machine_told_ = true;
  events_.OnMachine(std::move(machine.value().description));
  return Status::Ok();
}

Status BackupSession::OnLayout(const Record& record) {
  if (!identified_) return Protocol("LAYOUT before IDENTITY");
  if (store_ != nullptr) return Protocol("a second LAYOUT in one session");
  auto layout = wire::DecodeLayout(record.body);
  if (!layout.ok()) return layout.status();
  wire::LayoutReply reply;
  auto store = events_.OnLayout(layout.value(), reply.disks);
  if (!store.ok()) return store.status();
  if (lease_) store.value()->Share(std::move(lease_));
  store_ = store.value();
  return control_.Send(wire::Type::kLayoutReply, kSyncEpoch, wire::Encode(reply));
}

Status BackupSession::OnDisk(const Record& record, RecordSender& disk) {
  if (store_ == nullptr) return Protocol("disk record before LAYOUT");
  switch (record.header.type) {
    case wire::Type::kDiskWrite:
    case wire::Type::kDiskZero:
    case wire::Type::kDiskDiscard: return OnDiskChange(record, disk);
    case wire::Type::kDiskFlush: {
      auto flush = wire::DecodeDiskFlush(record.body);
      if (!flush.ok()) return flush.status();
      HAVEN_RETURN_IF_ERROR(store_.load()->OnDiskFlush());
      return disk.Send(wire::Type::kDiskAck, record.header.epoch, wire::Encode(wire::DiskAck{flush.value().request}));
    }
    default: return Unexpected(record, "disk");
  }
}

Status BackupSession::OnDiskChange(const Record& record, RecordSender& disk) {
  auto request = wire::DecodeDiskRequest(record.header.type, record.body);
  if (!request.ok()) return request.status();
  HAVEN_RETURN_IF_ERROR(store_.load()->OnDiskRecord(record, request.value()));
  if (DiskAckEpoch()) {
    const std::lock_guard lock(mutex_);
    disk_records_++;
    came_.notify_all();
  }
  return disk.Send(wire::Type::kDiskAck, record.header.epoch, wire::Encode(wire::DiskAck{request.value().request}));
}

Status BackupSession::OnMemory(Record& record) {
  if (store_ == nullptr) return Protocol("memory record before LAYOUT");
  switch (record.header.type) {
    case wire::Type::kPages:
    case wire::Type::kDeviceState: return store_.load()->OnMemoryRecord(record);
    case wire::Type::kEpochEnd: return OnEpochEnd(record);
    default: return Unexpected(record, "memory");
  }
}

Status BackupSession::OnEpochEnd(const Record& record) {
  FailPoint("before-epoch-end");
  auto end = wire::DecodeEpochEnd(record.body);
  if (!end.ok()) return end.status();
  if (end.value().run != wire::GuestRun::kUnknown && (features_ & wire::kFeatureGuestRun) == 0)
    return Protocol("EPOCH_END says what the guest does without the feature GUEST_RUN");
  Epoch epoch = record.header.epoch;
  FailPoint("after-epoch-end");
  if (DiskAckEpoch()) HAVEN_RETURN_IF_ERROR(AwaitDisk(epoch, end.value().disk_records));
  const Instant start = clock_.Now();
  FailPoint("before-commit");
  HAVEN_RETURN_IF_ERROR(store_.load()->Commit(epoch, end.value()));
  FailPoint("after-commit");
  FailPoint("before-committed-sent");
  Status sent = SendCommitted(epoch);
  FailPoint("after-committed-sent");
  if (epoch == 1) ArmFailPoints();
  FailPoint("before-apply");
  HAVEN_RETURN_IF_ERROR(store_.load()->Apply(epoch, end.value()));
  FailPoint("after-apply");
  busy_ = MicrosSince(start, clock_.Now());
  events_.OnCommitted(epoch);
  return sent;
}

Status BackupSession::AwaitDisk(Epoch epoch, uint64_t records) {
  std::unique_lock lock(mutex_);
  while (true) {
    const uint64_t seen = disk_records_;
    lock.unlock();
    const bool all = store_.load()->DiskRecordsOf(epoch) >= records;
    lock.lock();
    if (all) return Status::Ok();
    if (ended_) return {StatusCode::kPeerLost, "the session ended before all disk records of an epoch came"};
    came_.wait(lock, [&] { return ended_ || disk_records_ != seen; });
  }
}

void BackupSession::End() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  came_.notify_all();
}

Status BackupSession::SendCommitted(Epoch epoch) {
  Bytes body;
  if ((features_ & wire::kFeatureEpochFigures) != 0) {
    body = wire::Encode(wire::Committed{store_.load()->decode_ns() / 1000, static_cast<uint64_t>(busy_.count())});
  }
  return control_.Send(wire::Type::kCommitted, epoch, body);
}

}  // namespace haven::session
