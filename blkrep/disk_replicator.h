/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_DISK_REPLICATOR_H
#define HAVEN_BLKREP_DISK_REPLICATOR_H

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <sys/uio.h>
#include <unordered_map>
#include <vector>

#include "core/threads.h"
#include "blkrep/dirty_map.h"
#include "blkrep/request.h"
#include "core/link.h"

namespace haven::blkrep {

/// The primary's side of disk replication: sends every change of a guest's
/// disks to the backup, says when the backup has it, and remembers what the
/// backup may not have.
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
  using Done = void (*)(void* arg);

  explicit DiskReplicator(std::vector<Disk> disks);
  ~DiskReplicator();

  /// @return false if nobody needs to wait: the backup is away (the change is
  ///         remembered for its return). True: done(arg) will be called once,
  ///         when the backup has it or is lost.
  /// @param iov  data of a kWrite, from octet `skip` on; copied.
  bool Submit(const Request& request, const iovec* iov, int iov_count, size_t skip, Done done, void* arg);
  bool Flush(uint32_t disk, Done done, void* arg);

  /// The copier's calls, see haven_disk_next_copy() and haven_disk_copy().
  std::optional<DirtyMap::Piece> NextCopy(uint32_t disk);
  /// @param data  piece.bytes octets, or nullptr for zeros.
  bool SendCopy(uint32_t disk, const DirtyMap::Piece& piece, const void* data, Done done, void* arg);

  /// A backup is there. From now on requests are sent.
  /// @param copy_all  for each disk: everything, else only what it may not have.
  /// Any request not in flight yet is part of the synchronisation until the
  /// first Cut().
  void Connected(const std::vector<bool>& copy_all);
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
  const std::vector<Disk>& disks() const { return disks_; }

 private:
  struct Outgoing {
    wire::Type type;
    Epoch epoch;
    Bytes head;
    std::unique_ptr<uint8_t[]> data;
    size_t data_bytes = 0;
  };
  struct InFlight {
    Done done;
    void* arg;
    bool copy = false;
    uint32_t disk = 0;
    DirtyMap::Piece piece{0, 0};
  };

  void Enqueue(Outgoing outgoing, InFlight waiting, uint64_t id);

  const std::vector<Disk> disks_;
  Mutex mutex_;  ///< guards what follows; held for memory operations only
  Condition wake_sender_;
  std::vector<DirtyMap> maps_;
  std::deque<Outgoing> queue_;
  std::unordered_map<uint64_t, InFlight> in_flight_;
  uint64_t next_request_ = 1;
  uint64_t copies_in_flight_ = 0;
  bool connected_ = false;
  uint64_t connection_ = 0;           ///< counts Connected()
  std::vector<uint64_t> handed_out_;  ///< for each disk: the connection of its last NextCopy()
  bool syncing_ = false;              ///< before the first Cut() of a connection
  Epoch epoch_ = 1;
  uint64_t epoch_records_ = 0;
  uint64_t sent_bytes_ = 0;
  uint64_t acknowledged_ = 0;
};

}  // namespace haven::blkrep

#endif
