/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_BACKUP_SESSION_H
#define HAVEN_SESSION_BACKUP_SESSION_H

#include <atomic>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/link.h"
#include "session/backup_store.h"

namespace haven::session {

/// The backup's end of the protocol for one session, without sockets and
/// threads of its own: takes records, answers through senders.
/// One thread for each of the three connections.
class BackupSession {
 public:
  class Events {
   public:
    virtual ~Events() = default;
    /// Control thread, before all else. May a primary that has this copy the guest here?
    /// @param mine  filled: what the backup has, which the primary is told whatever is returned.
    /// @return kRefused with what decides; nothing was touched.
    virtual Status OnIdentity(const wire::Identity& primary, wire::Identity& mine) = 0;
    /// Control thread. Make a store for this layout and get ready to run it.
    /// @param copies  filled: what of each disk the primary has to send.
    virtual Result<BackupStore*> OnLayout(const wire::Layout& layout, std::vector<wire::LayoutReply::Copy>& copies) = 0;
    /// Control thread, before LAYOUT, if at all. What the guest can see of its machine; untrusted.
    virtual void OnMachine(std::string description) = 0;
    /// Control thread, before LAYOUT. The store for guests of `host`, of which this
    /// is one: asked only with the feature SHARED_PAGES.
    virtual Result<std::unique_ptr<memrep::StoreLease>> OnStore(const wire::Token& host) = 0;
    /// Memory thread. The epoch is committed; the primary knows it or will never.
    virtual void OnCommitted(Epoch epoch) = 0;
    /// Control thread. @return not Ok: the session is to end.
    virtual Status OnLiveness(const wire::Liveness& liveness) = 0;
    /// Control thread. The primary ends protection.
    virtual void OnGoodbye(wire::Goodbye reason) = 0;
  };

  /// All outlive the session.
  /// @param features  wire::kFeature... that both sides have.
  BackupSession(Events& events, RecordSender& control, uint64_t features, Clock& clock = MonotonicClock())
      : events_(events), control_(control), features_(features), clock_(clock) {}

  /// @return kProtocol, kRefused (layout), kEnvironment: the session has to end;
  ///         kPeerLost: the primary says so.
  Status OnControl(const Record& record);
  Status OnDisk(const Record& record, RecordSender& disk);
  /// The record's body is taken over. With the feature DISK_ACK_EPOCH, may wait for OnDisk(), until End().
  Status OnMemory(Record& record);
  /// Any thread: no more records come on the disk connection.
  void End();

 private:
  Status OnIdentity(const Record& record);
  Status OnStore(const Record& record);
  Status OnMachine(const Record& record);
  Status OnLayout(const Record& record);
  Status OnDiskChange(const Record& record, RecordSender& disk);
  Status OnEpochEnd(const Record& record);
  Status SendCommitted(Epoch epoch);
  bool DiskAckEpoch() const { return (features_ & wire::kFeatureDiskAckEpoch) != 0; }
  /// Until the epoch's disk records are there. @return kPeerLost: they do not come any more.
  Status AwaitDisk(Epoch epoch, uint64_t records);

  Events& events_;
  RecordSender& control_;
  const uint64_t features_;
  Clock& clock_;                               ///< what the primary is told decides when its epochs end
  std::unique_ptr<memrep::StoreLease> lease_;  ///< control thread; from STORE to LAYOUT
  bool identified_ = false;                    ///< control thread
  bool store_asked_ = false;                   ///< control thread
  bool machine_told_ = false;                  ///< control thread
  microseconds busy_{0};                       ///< memory thread; with the last epoch, from its EPOCH_END on
  std::atomic<BackupStore*> store_{nullptr};

  Mutex mutex_;  ///< guards what follows; with DISK_ACK_EPOCH only
  Condition came_;
  uint64_t disk_records_ = 0;  ///< that came
  bool ended_ = false;
};

}  // namespace haven::session

#endif
