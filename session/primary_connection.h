/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_PRIMARY_CONNECTION_H
#define HAVEN_SESSION_PRIMARY_CONNECTION_H

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "blkrep/disk_replicator.h"
#include "core/threads.h"
#include "session/cpu_time.h"
#include "session/heartbeat.h"
#include "session/main_thread.h"
#include "session/policy/epoch_policy.h"
#include "session/primary_handshake.h"

namespace haven::session {

/// What has become of the order of a person at the backup to hand the guest over.
enum class HandOverStage {
  kNone,
  kWanted,   ///< the backup has asked for the guest
  kStopped,  ///< the guest has stopped here; the backup does not know it yet
  kSaid,     ///< the guest is the backup's, unless it says that it does not run there
  kRefused,  ///< the backup said so
};

/// A session that just ends looks like our death, and the backup would start the
/// guest beside ours. To tell it may block: not on the main thread.
enum class Tell { kNobody, kBackup };

/// What is said when protection ends.
Status Ended();

/// One session with a backup, from the first attempt to connect: its links and their threads, what both
/// sides have said, and how it ended. Where the driver meets the other threads.
///
/// Threads: one receives control records (and so detects silence), one sends heartbeats, two serve the
/// disks; the driver, which makes and frees it, has the memory link.
class PrimaryConnection {
 public:
  class Events {
   public:
    virtual ~Events() = default;
    /// Control thread. The backup has committed `epoch`; the driver does not know it yet.
    virtual void OnCommitted(Epoch epoch) = 0;
    /// Control thread. The first epoch was committed, and the driver knows it.
    virtual void OnVerifying() = 0;
    virtual void OnProtected() = 0;
    /// The thread of heartbeats.
    virtual wire::Liveness Look() = 0;
  };

  PrimaryConnection(const ConnectOptions& options, blkrep::DiskReplicator& disks, Events& events, CpuTime& cpu);
  ~PrimaryConnection();

  // Driver.
  /// Makes the links; heartbeats begin. @return not Ok: `end` says why.
  Status Open(ConnectionEnd& end);
  /// The backup has accepted the guest: the other threads begin, and requests to disks are sent.
  void Start(const std::vector<bool>& copy_all);
  /// Waits for the other threads. @return why it ended. Fail() was called.
  ConnectionEnd Join();
  const PrimaryLinks& links() const { return *links_; }

  /// What the driver is to do next.
  enum class Wake {
    kDue,       ///< the epoch is to end
    kCommit,    ///< TakeCommit() has something
    kMode,      ///< ChangeMode() was called
    kLook,      ///< it is time for what was to be done before the epoch ends
    kHandOver,  ///< a person at the backup has asked for the guest
  };
  /// @param due  of the epoch in which the guest runs; nullptr: no other may end before a commit has come, and
  ///             neither a hand-over nor another mode is wanted.
  /// @param sent  when the oldest epoch in flight was; none: there is none.
  /// @param look  with `due`: when the driver has something to do before it; none: it has not.
  /// @return not Ok: it is over, or the backup answers, but does not commit.
  Result<Wake> AwaitWork(const EpochDue* due, const std::optional<Instant>& sent,
                         const std::optional<Instant>& look = std::nullopt);
  /// Whether the epoch is to end now, or the connection has ended.
  bool IsDue(const EpochDue& due);
  /// All that the backup needs to commit this epoch is about to be sent.
  void ExpectCommit(Epoch epoch);
  /// The backup's word that it has committed an epoch.
  struct Commit {
    Epoch epoch;
    wire::Committed figures;
    Instant came;  ///< of the connection's clock
  };
  /// After Wake::kCommit: in the order of the epochs.
  Commit TakeCommit();
  /// @return false: it is over.
  bool Sleep(milliseconds time);
  bool AwaitDisks();
  /// Around a checkpoint that the main thread takes when the guest is ready.
  void BeginTake();
  Status AwaitTaken();
  /// @return true once the backup says that the guest runs there.
  bool AwaitHandOver();

  // Main thread.
  void Took(const Status& how);
  /// The epoch is cut: its commit is awaited. @return when its first output came.
  std::optional<Instant> Cut();
  /// The guest has sent something in the epoch that is not cut.
  void OutputWaits();
  void ChangeMode();
  /// Says that protection ends. @return whether the backup has heard it. Blocks for a deadline at most.
  bool SayGoodbye(wire::Goodbye reason);

  // Any thread.
  /// It ends for this reason, unless it has ended already.
  void Fail(ConnectionEnd end, Tell tell = Tell::kNobody);
  /// For the disk and memory links: their end may be seen before the ERROR on
  /// the control link that explains it, and says whether the guest may go on.
  void FailUnlessExplained(ConnectionEnd end);
  /// The whole session ends. GOODBYE may follow.
  /// @return how far a hand-over was.
  HandOverStage Stop();
  bool over();
  bool failed();
  Epoch committed();
  /// Age of the oldest epoch that is cut and not committed.
  microseconds commit_lag();
  HandOverStage hand_over();
  void SetHandOver(HandOverStage stage);
  /// From here on it is kSaid. @return false: Stop() was called before.
  bool GiveGuest();
  /// It has ended since the guest runs at the backup.
  bool promoted();

 private:
  void ReceiveControl();
  Status OnControlRecord(const Record& record);
  Status OnCommittedRecord(const Record& record);
  Status OnVerifiedRecord(const Record& record);
  Status OnHandOverRecord(const Record& record);
  Status OnErrorRecord(const Record& record);
  /// Each commit may come in time and all the same further and further behind, as on a link that is too slow.
  Status CheckLag();
  void ReceiveDiskAcks();
  void SendDisks();
  milliseconds patience() const { return options_.deadline * kDataDeadlines; }

  const ConnectOptions& options_;
  Clock& clock_;
  blkrep::DiskReplicator& disks_;
  Events& events_;
  CpuTime& cpu_;
  std::unique_ptr<PrimaryLinks> links_;   ///< driver; set before the threads start
  std::unique_ptr<Heartbeat> heartbeat_;  ///< driver
  bool verified_ = false;                 ///< control thread
  Thread control_, acks_, writes_;        ///< driver

  Mutex mutex_;  ///< guards what follows
  Condition changed_;
  bool stopping_ = false, failed_ = false, goodbye_acknowledged_ = false;
  HandOverStage hand_over_ = HandOverStage::kNone;
  std::optional<Status> taken_;  ///< how the checkpoint went for which the driver waits
  ConnectionEnd end_;
  std::vector<std::shared_ptr<Link>> opened_;  ///< the first is the control link
  Epoch committed_ = kSyncEpoch;
  Instant last_commit_{};
  std::deque<Instant> uncommitted_;      ///< when each epoch was cut that is not committed
  std::deque<Commit> commits_;           ///< that the driver has not taken
  Epoch expected_ = kSyncEpoch;          ///< the last epoch that the backup may commit
  std::optional<Instant> output_since_;  ///< when the first output of the epoch that is not cut came
  bool mode_changed_ = false;
};

/// Driver: runs fn on the main thread. @return Ended() when that, or the connection, has ended.
Status CallMain(MainThread& main, PrimaryConnection& c, const std::function<Status()>& fn);

}  // namespace haven::session

#endif
