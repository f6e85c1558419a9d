/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_BACKUP_STORE_H
#define HAVEN_SESSION_BACKUP_STORE_H

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/threads.h"
#include "blkrep/journal.h"
#include "blkrep/replica.h"
#include "core/link.h"
#include "memrep/epoch_staging.h"
#include "memrep/guest_image.h"

namespace haven::session {

struct StoreOptions {
  std::string state_dir;
  std::string ram_region;
  std::map<std::string, std::string> disks;  ///< name -> path of the replica
  bool durable = false;
  uint64_t memory_limit_bytes = 0;
  uint64_t journal_limit_bytes = 16ull << 30;
  unsigned threads = memrep::UsualThreads();  ///< that decode and apply memory
};

/// What a backup keeps of one guest: the image of the last committed epoch,
/// the disk replicas and the journal, and the epoch that is coming in. Makes
/// the epoch one atom: nothing of it counts before Commit(), all of it after.
///
/// Threads: disk records on one thread, memory records on another; neither
/// waits for the other's I/O except for the append of one commit mark.
class BackupStore {
 public:
  /// Makes the store for a guest of this shape. Replicas and journal are opened.
  /// @param how  each replica may be opened.
  /// @return kRefused if a disk has no replica in the configuration, or one that
  ///         may not be written (blkrep/replica_disk.h), or the memory is over the
  ///         limit; kEnvironment with errno.
  static Result<std::unique_ptr<BackupStore>> Create(const StoreOptions& options, const wire::Layout& layout,
                                                     const std::vector<blkrep::ReplicaOptions>& how);

  /// Once, before anything is recorded: gives up what an earlier session has left, since these disks are copied anew,
  /// or have all of it already.
  Status Begin(const StoreOptions& options);

  /// Before the first memory record: pages are shared through this.
  void Share(std::unique_ptr<memrep::StoreLease> lease);

  /// Brings the replicas of an earlier run of this program, which may have
  /// died at any point, to the last committed epoch. The caller knows that they are its.
  /// @return that epoch; kSyncEpoch: there was nothing to do.
  static Result<Epoch> Recover(const StoreOptions& options);
  /// Whether an earlier run has left a journal.
  static bool HasJournal(const StoreOptions& options);

  /// Disk thread. A DISK_WRITE, DISK_ZERO or DISK_DISCARD record. When it
  /// returns Ok the change is in memory (policy `received`) or stable (`durable`).
  /// @return kEnvironment, too, when the journal would go beyond its limit.
  Status OnDiskRecord(const Record& record, const wire::DiskRequest& request);
  /// Disk thread.
  Status OnDiskFlush();

  /// Memory thread. Of an epoch that is not committed, that came so far.
  uint64_t DiskRecordsOf(Epoch epoch);

  /// Memory thread. PAGES and DEVICE_STATE; the body is taken over.
  Status OnMemoryRecord(Record& record);

  /// Memory thread. EPOCH_END: commits the epoch if it is whole.
  /// @return kProtocol if a count differs: nothing of the epoch counts then.
  Status Commit(Epoch epoch, const wire::EpochEnd& end);
  /// Memory thread, after Commit(): brings image and replicas to that epoch.
  Status Apply(Epoch epoch, const wire::EpochEnd& end);

  /// No thread is left: drops what is not committed; the image and the
  /// replicas are the last committed epoch.
  /// @return not Ok: a replica is not, the store is of no use; Recover() tries to mend
  ///         that from the journal.
  Status Finish();

  /// After Finish(), before the guest is run here: its device model locks the
  /// replicas then. No disk record is taken from now on.
  void ReleaseReplicas() { replicas_.clear(); }

  /// Memory thread.
  uint64_t decode_ns() const { return staging_->decode_ns(); }
  const memrep::GuestImage& image() const { return *image_; }
  const wire::Layout& layout() const { return layout_; }
  /// Last committed epoch. Any thread.
  Epoch committed() const { return committed_.load(); }
  uint64_t disk_bytes() const { return disk_bytes_.load(); }
  uint64_t memory_bytes() const { return memory_bytes_.load(); }
  uint64_t journal_bytes() const { return journal_bytes_.load(); }

 private:
  BackupStore() = default;
  static Result<std::vector<std::unique_ptr<blkrep::Replica>>> OpenReplicas(
      const StoreOptions& options, const wire::Layout& layout, const std::vector<blkrep::ReplicaOptions>& how);
  static Status DropJournal(const StoreOptions& options);
  static Status ApplyJournal(blkrep::Journal& journal, Mutex& mutex,
                             std::vector<std::unique_ptr<blkrep::Replica>>& replicas, Epoch epoch, bool durable);

  /// Locked. Of a request that is to be appended.
  Status CheckJournal(size_t data_bytes) const;

  wire::Layout layout_;
  bool durable_ = false;
  uint64_t journal_limit_bytes_ = 0;
  std::unique_ptr<memrep::GuestImage> image_;
  std::unique_ptr<memrep::WorkerPool> workers_;
  std::unique_ptr<memrep::StoreLease> lease_;  ///< until Finish(); nullptr: no pages are shared
  std::unique_ptr<memrep::EpochStaging> staging_;
  std::vector<std::unique_ptr<blkrep::Replica>> replicas_;
  Mutex journal_mutex_;
  std::unique_ptr<blkrep::Journal> journal_;
  Status apply_failure_;  ///< not Ok: the image and the replicas are not of committed_. Memory thread, then Finish()
  std::atomic<Epoch> committed_{kSyncEpoch};
  std::atomic<uint64_t> disk_bytes_{0}, memory_bytes_{0}, journal_bytes_{0};
};

}  // namespace haven::session

#endif
