/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_DISK_REPLICATOR_H
#define HAVEN_BLKREP_DISK_REPLICATOR_H

#include <optional>
#include <string>
#include <sys/uio.h>
#include <vector>

#include "core/threads.h"
#include "blkrep/disk_peer.h"
#include "blkrep/request.h"
#include "blkrep/request_log.h"
#include "core/link.h"

namespace haven::blkrep {

/// The primary's side of disk replication: sends every change of a guest's
/// disks to the backup, says when the backup has it, and remembers what the
/// backup may not have: a log of requests, and the peer that gets them.
///
/// Requests come from the device model's I/O threads and only queue; one
/// thread (RunSender) sends, one (OnAck) receives. Nothing is locked while
/// octets go over the network. All methods are thread-safe.
class DiskReplicator {
 public:
  struct Disk {
    std::string name;
    uint64_t bytes;
  };
  using Done = DiskPeer::Done;

  explicit DiskReplicator(std::vector<Disk> disks);
  ~DiskReplicator();

  /// @return false if nobody needs to wait: the backup is away (the change is
  ///         remembered for its return), or Ack::kEpoch. True: done(arg) will be
  ///         called once, when the backup has it or is lost.
  /// @param iov  data of a kWrite, from octet `skip` on; copied.
  bool Submit(const Request& request, const iovec* iov, int iov_count, size_t skip, Done done, void* arg);
  bool Flush(uint32_t disk, Done done, void* arg);

  /// The copier's calls, see haven_disk_next_copy() and haven_disk_copy().
  std::optional<DirtyMap::Piece> NextCopy(uint32_t disk);
  /// @param data  piece.bytes octets, or nullptr for zeros.
  bool SendCopy(uint32_t disk, const DirtyMap::Piece& piece, const void* data, Done done, void* arg);

  /// When the guest's request is done, besides at the local disk.
  enum class Ack {
    kBackup,  ///< when the backup has it
    kEpoch,   ///< at once: what it has led to waits for the commit of its epoch. Not before the first Cut(), and not
              ///< while more than kMostUnacknowledgedBytes are on the way.
  };
  static constexpr uint64_t kMostUnacknowledgedBytes = 64ull << 20;

  /// A backup is there. From now on requests are sent.
  /// @param copy_all  for each disk: everything, else only what it may not have.
  /// Any request not in flight yet is part of the synchronisation until the
  /// first Cut().
  void Connected(const std::vector<bool>& copy_all, Ack ack = Ack::kBackup);
  /// Sends what is queued until Disconnected(); the calling thread is the sender.
  Status RunSender(RecordSender& link);
  /// @return kProtocol if no such request is in flight.
  Status OnAck(uint64_t request);
  /// The backup is lost: completes all that waits for it. Idempotent.
  void Disconnected();

  /// Everything was copied and acknowledged (may become false again by a loss).
  bool SyncDone();
  uint64_t SyncLeftBytes();

  /// Closes the epoch: later requests belong to the next one. The guest
  /// stands still and has no request in flight.
  /// @return how many records the closed epoch has.
  uint64_t Cut();
  void Committed(Epoch epoch);

  /// Whether the backup keeps up: with `waiting` true and `acknowledged` the
  /// same for long, it does not.
  struct Acks {
    uint64_t acknowledged;  ///< since the beginning
    bool waiting;           ///< some request is not acknowledged
  };
  Acks acks();
  uint64_t sent_bytes();
  Ack ack();
  const std::vector<Disk>& disks() const { return disks_; }

 private:
  /// Whether the guest goes on at once. Locked.
  bool Ahead() const;

  const std::vector<Disk> disks_;
  Mutex mutex_;  ///< guards what follows; held for memory operations only
  Condition wake_sender_;
  RequestLog log_;
  DiskPeer peer_;
  bool connected_ = false;
  Ack ack_ = Ack::kBackup;
  uint64_t connection_ = 0;           ///< counts Connected()
  std::vector<uint64_t> handed_out_;  ///< for each disk: the connection of its last NextCopy()
};

}  // namespace haven::blkrep

#endif
