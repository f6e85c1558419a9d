// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/disk_replicator.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "core/assert.h"

namespace haven::blkrep {
namespace {

/// Small enough that an urgent write behind a piece waits little for it.
constexpr uint64_t kCopyBytes = 256 * 1024;

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

}  // namespace

DiskReplicator::DiskReplicator(std::vector<Disk> disks) : disks_(std::move(disks)), handed_out_(disks_.size()) {
  for (const Disk& disk : disks_) maps_.emplace_back(disk.bytes);
}

DiskReplicator::~DiskReplicator() { HAVEN_ASSERT(in_flight_.empty()); }

void DiskReplicator::Enqueue(Outgoing outgoing, InFlight waiting, uint64_t id) {
  in_flight_.emplace(id, waiting);
  queue_.push_back(std::move(outgoing));
  wake_sender_.notify_one();
}

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
  DirtyMap& map = maps_[request.disk];
  if (!connected_) {
    map.MarkLost(request.offset, request.bytes);
    return false;
  }
  map.MarkWritten(epoch_, request.offset, request.bytes);
  InFlight waiting{done, arg};
  if (records > 1) waiting = {Split::OneDone, new Split{{static_cast<int>(records)}, done, arg}};
  for (uint64_t i = 0; i < records; i++) {
    wire::DiskRequest head{next_request_++, request.disk, 0, request.offset + i * step,
                           std::min(step, request.bytes - i * step)};
    if (syncing_) head.flags |= wire::kDiskSync;
    if (request.may_unmap) head.flags |= wire::kDiskMayUnmap;
    if (!syncing_) epoch_records_++;
    Enqueue({TypeOf(request.kind), syncing_ ? kSyncEpoch : epoch_, wire::Encode(head), std::move(data[i]),
             has_data ? head.bytes : 0},
            waiting, head.request);
  }
  return true;
}

bool DiskReplicator::Flush(uint32_t disk, Done done, void* arg) {
  std::lock_guard lock(mutex_);
  if (!connected_) return false;
  wire::DiskFlush flush{next_request_++, disk};
  Enqueue({wire::Type::kDiskFlush, syncing_ ? kSyncEpoch : epoch_, wire::Encode(flush), nullptr}, {done, arg},
          flush.request);
  return true;
}

std::optional<DirtyMap::Piece> DiskReplicator::NextCopy(uint32_t disk) {
  HAVEN_ASSERT(disk < disks_.size());
  std::lock_guard lock(mutex_);
  if (!connected_ || !syncing_) return std::nullopt;
  auto piece = maps_[disk].NextCopy(kCopyBytes);
  if (piece) {
    copies_in_flight_++;
    handed_out_[disk] = connection_;
  }
  return piece;
}

bool DiskReplicator::SendCopy(uint32_t disk, const DirtyMap::Piece& piece, const void* data, Done done, void* arg) {
  iovec iov{const_cast<void*>(data), piece.bytes};
  auto copy = data ? Gather(&iov, 1, 0, piece.bytes) : nullptr;
  std::lock_guard lock(mutex_);
  if (!connected_) {
    maps_[disk].MarkLost(piece.offset, piece.bytes);
    return false;
  }
  if (handed_out_[disk] != connection_) {  // lost and reconnected since: copy it for the new one
    maps_[disk].ReturnCopy(piece);
    return false;
  }
  wire::DiskRequest head{next_request_++, disk, wire::kDiskSync, piece.offset, piece.bytes};
  if (!data) head.flags |= wire::kDiskMayUnmap;
  Enqueue({data ? wire::Type::kDiskWrite : wire::Type::kDiskZero, kSyncEpoch, wire::Encode(head), std::move(copy),
           data ? piece.bytes : 0},
          {done, arg, true, disk, piece}, head.request);
  return true;
}

void DiskReplicator::Connected(const std::vector<bool>& copy_all) {
  std::lock_guard lock(mutex_);
  HAVEN_ASSERT(!connected_ && copy_all.size() == disks_.size());
  for (size_t i = 0; i < maps_.size(); i++) {
    if (copy_all[i]) maps_[i].MarkAll();
    maps_[i].BeginCopy();
  }
  connection_++;
  connected_ = true;
  syncing_ = true;
  epoch_ = 1;
  epoch_records_ = 0;
}

Status DiskReplicator::RunSender(RecordSender& link) {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_sender_.wait(lock, [this] { return !connected_ || !queue_.empty(); });
    if (!connected_) return Status::Ok();
    Outgoing next = std::move(queue_.front());
    queue_.pop_front();
    sent_bytes_ += wire::kHeaderBytes + next.head.size() + next.data_bytes;
    lock.unlock();
    ByteSpan parts[] = {next.head, {next.data.get(), next.data_bytes}};
    HAVEN_RETURN_IF_ERROR(link.Send(next.type, next.epoch, parts));
    lock.lock();
  }
}

Status DiskReplicator::OnAck(uint64_t request) {
  InFlight acked;
  {
    std::lock_guard lock(mutex_);
    auto found = in_flight_.find(request);
    if (found == in_flight_.end()) {
      if (!connected_) return Status::Ok();
      return {StatusCode::kProtocol, "DISK_ACK of request " + std::to_string(request) + ", which is not in flight"};
    }
    acked = found->second;
    in_flight_.erase(found);
    if (acked.copy) copies_in_flight_--;
    acknowledged_++;
  }
  if (acked.done) acked.done(acked.arg);
  return Status::Ok();
}

void DiskReplicator::Disconnected() {
  std::unordered_map<uint64_t, InFlight> abandoned;
  {
    std::lock_guard lock(mutex_);
    connected_ = false;
    for (auto& [id, waiting] : in_flight_) {
      if (waiting.copy) maps_[waiting.disk].ReturnCopy(waiting.piece);
    }
    abandoned.swap(in_flight_);
    queue_.clear();
    copies_in_flight_ = 0;
    for (DirtyMap& map : maps_) map.ConnectionLost();
  }
  wake_sender_.notify_all();
  for (auto& [id, waiting] : abandoned) {
    if (waiting.done) waiting.done(waiting.arg);
  }
}

bool DiskReplicator::SyncDone() {
  std::lock_guard lock(mutex_);
  return connected_ && copies_in_flight_ == 0 &&
         std::all_of(maps_.begin(), maps_.end(), [](const DirtyMap& map) { return map.CopyLeftBytes() == 0; });
}

uint64_t DiskReplicator::SyncLeftBytes() {
  std::lock_guard lock(mutex_);
  uint64_t left = 0;
  for (const DirtyMap& map : maps_) left += map.CopyLeftBytes();
  return left;
}

uint64_t DiskReplicator::Cut() {
  std::lock_guard lock(mutex_);
  syncing_ = false;
  epoch_++;
  return std::exchange(epoch_records_, 0);
}

void DiskReplicator::Committed(Epoch epoch) {
  std::lock_guard lock(mutex_);
  for (DirtyMap& map : maps_) map.Committed(epoch);
}

DiskReplicator::Acks DiskReplicator::acks() {
  std::lock_guard lock(mutex_);
  return {acknowledged_, !in_flight_.empty()};
}

uint64_t DiskReplicator::sent_bytes() {
  std::lock_guard lock(mutex_);
  return sent_bytes_;
}

}  // namespace haven::blkrep
