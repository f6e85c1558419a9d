// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/disk_replicator.h"

#include <algorithm>
#include <atomic>

#include "core/assert.h"

namespace haven::blkrep {
namespace {

std::unique_ptr<uint8_t[]> Gather(const iovec* iov, int iov_count, size_t skip, size_t bytes) {
  auto data = std::make_unique_for_overwrite<uint8_t[]>(bytes);
  size_t at = 0;
  for (int i = 0; i < iov_count && at < bytes; i++) {
    if (skip >= iov[i].iov_len) {
      skip -= iov[i].iov_len;
      continue;
    }
    size_t n = std::min(iov[i].iov_len - skip, bytes - at);
    memcpy(data.get() + at, static_cast<const uint8_t*>(iov[i].iov_base) + skip, n);
    at += n;
    skip = 0;
  }
  HAVEN_ASSERT(at == bytes);
  return data;
}

wire::Type TypeOf(Request::Kind kind) {
  switch (kind) {
    case Request::Kind::kWrite: return wire::Type::kDiskWrite;
    case Request::Kind::kZero: return wire::Type::kDiskZero;
    case Request::Kind::kDiscard: return wire::Type::kDiskDiscard;
  }
  HAVEN_ASSERT(false);
}

/// Several records stand for one request of the device model that is larger
/// than a record may be; the last one to be done reports it.
struct Split {
  std::atomic<int> left;
  DiskReplicator::Done done;
  void* arg;
  static void OneDone(void* self) {
    auto* split = static_cast<Split*>(self);
    if (split->left.fetch_sub(1) != 1) return;
    split->done(split->arg);
    delete split;
  }
};

std::vector<uint64_t> SizesOf(const std::vector<DiskReplicator::Disk>& disks) {
  std::vector<uint64_t> sizes;
  for (const auto& disk : disks) sizes.push_back(disk.bytes);
  return sizes;
}

}  // namespace

DiskReplicator::DiskReplicator(std::vector<Disk> disks)
    : disks_(std::move(disks)), log_(SizesOf(disks_)), handed_out_(disks_.size()) {}

DiskReplicator::~DiskReplicator() { HAVEN_ASSERT(!peer_.waiting()); }

bool DiskReplicator::Submit(const Request& request, const iovec* iov, int iov_count, size_t skip, Done done,
                            void* arg) {
  HAVEN_ASSERT(request.disk < disks_.size());
  bool has_data = request.kind == Request::Kind::kWrite;
  uint64_t step = has_data ? wire::kMaxDiskDataBytes : std::max<uint64_t>(request.bytes, 1);
  uint64_t records = std::max<uint64_t>(1, (request.bytes + step - 1) / step);
  // Copied before taking the lock.
  std::vector<std::unique_ptr<uint8_t[]>> data(records);
  for (uint64_t i = 0; has_data && i < records; i++) {
    data[i] = Gather(iov, iov_count, skip + i * step, std::min(step, request.bytes - i * step));
  }

  std::lock_guard lock(mutex_);
  if (!connected_) {
    log_.Missed(request.disk, request.offset, request.bytes);
    return false;
  }
  const Epoch epoch = log_.Written(request.disk, request.offset, request.bytes, records);
  const bool ahead = Ahead();
  DiskPeer::InFlight waiting{ahead ? nullptr : done, arg};
  if (records > 1 && !ahead) waiting = {Split::OneDone, new Split{{static_cast<int>(records)}, done, arg}};
  for (uint64_t i = 0; i < records; i++) {
    wire::DiskRequest head{peer_.NewRequest(), request.disk, 0, request.offset + i * step,
                           std::min(step, request.bytes - i * step)};
    if (epoch == kSyncEpoch) head.flags |= wire::kDiskSync;
    if (request.may_unmap) head.flags |= wire::kDiskMayUnmap;
    peer_.Enqueue({TypeOf(request.kind), epoch, wire::Encode(head), std::move(data[i]), has_data ? head.bytes : 0},
                  waiting, head.request);
  }
  wake_sender_.notify_one();
  return !ahead;
}

bool DiskReplicator::Ahead() const {
  return ack_ == Ack::kEpoch && log_.current() != kSyncEpoch && peer_.unacknowledged_bytes() < kMostUnacknowledgedBytes;
}

bool DiskReplicator::Flush(uint32_t disk, Done done, void* arg) {
  std::lock_guard lock(mutex_);
  // What a flush has to survive is a commit's matter then.
  if (!connected_ || ack_ == Ack::kEpoch) return false;
  wire::DiskFlush flush{peer_.NewRequest(), disk};
  peer_.Enqueue({wire::Type::kDiskFlush, log_.current(), wire::Encode(flush), nullptr}, {done, arg}, flush.request);
  wake_sender_.notify_one();
  return true;
}

std::optional<DirtyMap::Piece> DiskReplicator::NextCopy(uint32_t disk) {
  HAVEN_ASSERT(disk < disks_.size());
  std::lock_guard lock(mutex_);
  if (!connected_) return std::nullopt;
  auto piece = log_.NextCopy(disk);
  if (piece) {
    peer_.CopyBegins();
    handed_out_[disk] = connection_;
  }
  return piece;
}

bool DiskReplicator::SendCopy(uint32_t disk, const DirtyMap::Piece& piece, const void* data, Done done, void* arg) {
  iovec iov{const_cast<void*>(data), piece.bytes};
  auto copy = data ? Gather(&iov, 1, 0, piece.bytes) : nullptr;
  std::lock_guard lock(mutex_);
  if (!connected_) {
    log_.Missed(disk, piece.offset, piece.bytes);
    return false;
  }
  if (handed_out_[disk] != connection_) {  // lost and reconnected since: copy it for the new one
    log_.ReturnCopy(disk, piece);
    return false;
  }
  wire::DiskRequest head{peer_.NewRequest(), disk, wire::kDiskSync, piece.offset, piece.bytes};
  if (!data) head.flags |= wire::kDiskMayUnmap;
  peer_.Enqueue({data ? wire::Type::kDiskWrite : wire::Type::kDiskZero, kSyncEpoch, wire::Encode(head), std::move(copy),
                 data ? piece.bytes : 0},
                {done, arg, true, disk, piece}, head.request);
  wake_sender_.notify_one();
  return true;
}

void DiskReplicator::Connected(const std::vector<bool>& copy_all, Ack ack) {
  std::lock_guard lock(mutex_);
  HAVEN_ASSERT(!connected_ && copy_all.size() == disks_.size());
  log_.Begin(copy_all);
  connection_++;
  connected_ = true;
  ack_ = ack;
}

Status DiskReplicator::RunSender(RecordSender& link) {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_sender_.wait(lock, [this] { return !connected_ || !peer_.idle(); });
    if (!connected_) return Status::Ok();
    const DiskPeer::Outgoing next = peer_.TakeNext();
    lock.unlock();
    ByteSpan parts[] = {next.head, {next.data.get(), next.data_bytes}};
    HAVEN_RETURN_IF_ERROR(link.Send(next.type, next.epoch, parts));
    lock.lock();
  }
}

Status DiskReplicator::OnAck(uint64_t request) {
  std::optional<DiskPeer::InFlight> acknowledged;
  {
    std::lock_guard lock(mutex_);
    acknowledged = peer_.Acknowledged(request);
    if (!acknowledged && connected_) {
      return {StatusCode::kProtocol, "DISK_ACK of request " + std::to_string(request) + ", which is not in flight"};
    }
  }
  if (acknowledged && acknowledged->done) acknowledged->done(acknowledged->arg);
  return Status::Ok();
}

void DiskReplicator::Disconnected() {
  std::vector<DiskPeer::InFlight> abandoned;
  {
    std::lock_guard lock(mutex_);
    connected_ = false;
    abandoned = peer_.Abandon();
    for (const auto& waiting : abandoned) {
      if (waiting.copy) log_.ReturnCopy(waiting.disk, waiting.piece);
    }
    log_.Lost();
  }
  wake_sender_.notify_all();
  for (const auto& waiting : abandoned) {
    if (waiting.done) waiting.done(waiting.arg);
  }
}

bool DiskReplicator::SyncDone() {
  std::lock_guard lock(mutex_);
  return connected_ && !peer_.copying() && log_.CopyLeftBytes() == 0;
}

uint64_t DiskReplicator::SyncLeftBytes() {
  std::lock_guard lock(mutex_);
  return log_.CopyLeftBytes();
}

uint64_t DiskReplicator::Cut() {
  std::lock_guard lock(mutex_);
  return log_.Cut();
}

void DiskReplicator::Committed(Epoch epoch) {
  std::lock_guard lock(mutex_);
  log_.Committed(epoch);
}

DiskReplicator::Acks DiskReplicator::acks() {
  std::lock_guard lock(mutex_);
  return {peer_.acknowledged(), peer_.waiting()};
}

DiskReplicator::Ack DiskReplicator::ack() {
  std::lock_guard lock(mutex_);
  return ack_;
}

uint64_t DiskReplicator::sent_bytes() {
  std::lock_guard lock(mutex_);
  return peer_.sent_bytes();
}

}  // namespace haven::blkrep
