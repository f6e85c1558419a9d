/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_PRIMARY_SESSION_H
#define HAVEN_SESSION_PRIMARY_SESSION_H

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "core/threads.h"
#include "blkrep/disk_replicator.h"
#include "memrep/page_codec.h"
#include "memrep/shared_pages.h"
#include "memrep/worker_pool.h"
#include "netrep/output_buffer.h"
#include "session/checkpointer.h"
#include "session/epoch_history.h"
#include "session/guest.h"
#include "session/harvest_policy.h"
#include "session/main_thread.h"
#include "session/primary_connection.h"
#include "session/primary_ledger.h"

namespace haven::session {

class MemorySender;

struct PrimaryOptions {
  ConnectOptions connect;
  milliseconds interval{50};                      ///< from a checkpoint's end to the next one's begin: the guest runs
  bool pause_on_loss = false;                     ///< hold output until a backup is back
  std::string arbiter;                            ///< empty: none
  std::string state_dir;                          ///< folder of this guest's record
  std::map<std::string, std::string> disk_paths;  ///< on this host, by name; a disk that is elsewhere is missing
  wire::Token life{};                             ///< names this run of the guest
  uint32_t start_wait_s = 60;  ///< when the guest is next started: for the backup's answer, before ...
  blkrep::GuestRecord::OnStart on_start = blkrep::GuestRecord::OnStart::kWait;  ///< ... this
  uint64_t output_limit_bytes = 64ull << 20;
  memrep::EncoderOptions encoder{.cache_bytes = 0};  ///< cache_bytes 0: in proportion to the guest
  std::string shared_folder = "/dev/shm";            ///< with connect.share: where guests of this host find pages
  unsigned threads = memrep::UsualThreads();         ///< that encode, and copy large dirty sets in the pause
};

/// Protects one running guest: finds the backup, copies the guest there while
/// it runs, then takes an epoch after the other; survives the loss of the
/// backup and comes back to it. The only place where memory, disks and network
/// of the primary meet.
///
/// Threads: `driver` connects, paces and sends epochs; for each connection one
/// receives control records (and so detects silence), one sends heartbeats,
/// two serve the disks. The guest is touched on the main thread only.
class PrimarySession {
 public:
  /// Main thread. `guest` outlives the session.
  PrimarySession(PrimaryOptions options, Guest& guest, std::vector<blkrep::DiskReplicator::Disk> disks);
  ~PrimarySession();

  /// Main thread, before the session: whether this guest's record can be kept. @return why not, and what to do.
  static Status CheckState(const PrimaryOptions& options, const std::vector<blkrep::DiskReplicator::Disk>& disks);
  /// Main thread. Ends protection for good; output is released if that is safe
  /// or decided, else the guest is halted.
  void Stop(wire::Goodbye reason);

  /// Main thread.
  PrimaryStatus Query();
  /// Main thread. @return whether the session took the frame.
  bool Output(void* nic, unsigned flags, const iovec* iov, int iov_count);
  /// Main thread: the answer to Guest::MakeReady(). Takes the checkpoint if the
  /// status is ok. @return whether it was still wanted and the guest runs again;
  ///         else the caller lets the guest go on.
  bool GuestReady(const Status& status);
  /// Any thread.
  blkrep::DiskReplicator& disks() { return disks_; }
  /// A session that just ends looks like our death, and the backup would start the
  /// guest beside ours. To tell it may block: not on the main thread.
  enum class Tell { kNobody, kBackup };
  /// Any thread: the current connection, if any, ends for this reason.
  void Fail(ConnectionEnd end, Tell tell = Tell::kNobody);

 private:
  enum class HandOverStage {
    kNone,
    kWanted,   ///< the backup has asked for the guest
    kStopped,  ///< the guest has stopped here; the backup does not know it yet
    kSaid,     ///< the guest is the backup's, unless it says that it does not run there
    kRefused,  ///< the backup said so
  };

  /// For the disk and memory links: their end may be seen before the ERROR on
  /// the control link that explains it, and says whether the guest may go on.
  void FailUnlessExplained(ConnectionEnd end);
  void Drive();
  ConnectionEnd RunConnection();
  Status Protect(PrimaryConnection& c);
  void NewEncoder(uint64_t features);
  void EndEncoder();
  /// Before LAYOUT: opens what is needed to share pages, or says why they are
  /// not shared. @return not Ok: the connection has failed, `end` is filled.
  Status PrepareSharing(PrimaryConnection& c, ConnectionEnd& end);
  /// Whose data is newer? @return not Ok: nothing may be copied, `end` is filled.
  Status CompareWith(PrimaryConnection& c, ConnectionEnd& end);
  /// The backup has accepted the guest: from now on a record says so.
  Status RecordSession(const PrimaryConnection& c, ConnectionEnd& end);
  /// Nothing may leave without the backup before a record says that this copy is ahead.
  /// @return false: the session ends.
  bool RecordAlone();
  void SetSharingNote(const std::string& note);
  Status Synchronise(PrimaryConnection& c);
  Status FinishDisks();
  Status TakeEpochs(PrimaryConnection& c);
  Status OneEpoch(MemorySender& sender, PrimaryConnection& c, Checkpointer::Then then);
  Status TakeCheckpoint(Checkpointer::Then then);
  Status TakeNow();
  Status AwaitCommit(Epoch epoch, PrimaryConnection& c);
  /// The backup has asked for the guest: a last epoch, after which it stays
  /// stopped here, and the word that it is the backup's now.
  Status HandOver(MemorySender& sender, PrimaryConnection& c);
  /// @return true once the backup says that the guest runs there.
  bool AwaitHandOver();
  /// The connection has ended while the guest was stopped for a hand-over.
  /// @return whether it may go on here.
  bool GoOnAfterHandOver(HandOverStage stage, const ConnectionEnd& end);
  void ReceiveControl(PrimaryConnection& c);
  Status OnControlRecord(const Record& record, uint64_t features);
  Status OnCommittedRecord(const Record& record, uint64_t features);
  void ReceiveDiskAcks(Link& disk);
  void OnCommitted(Epoch epoch);
  /// The connection has ended. @return whether to try again.
  bool AfterConnection(const ConnectionEnd& end);
  bool AskToGoOn();
  void ReleaseAll();
  void HaltGuest();

  HandOverStage SetHandOver(HandOverStage stage);
  Status CallMain(const std::function<Status()>& fn);
  void SetState(PrimaryState state, const std::string& message);
  bool Failed();
  void AddCpuTime(microseconds& last);

  const PrimaryOptions options_;
  Clock& clock_;  ///< of all its deadlines and periods
  Guest& guest_;
  wire::Layout layout_;
  PrimaryLedger ledger_;  ///< driver; main thread in Stop(), when the driver has left it
  MainThread main_;
  blkrep::DiskReplicator disks_;
  memrep::WorkerPool workers_;                    ///< of the checkpointer in the pause, else of the encoder
  std::unique_ptr<memrep::SharedPages> shared_;   ///< driver; of this connection; outlives the encoder
  std::unique_ptr<memrep::PageEncoder> encoder_;  ///< driver; of this connection
  HarvestPolicy harvest_policy_{false};           ///< driver; of this connection
  Instant resumed_;  ///< driver; since the last checkpoint, taken or put off, the guest runs

  // Main thread only.
  netrep::OutputBuffer output_;
  bool holding_ = false;  ///< output waits for commits: the backup may have a checkpoint
  bool stopped_ = false;
  bool awaiting_guest_ = false;  ///< until GuestReady()
  Instant guest_asked_;
  Checkpointer::Then then_ = Checkpointer::Then::kResume;  ///< after the checkpoint that was asked for

  // Main thread during Take() and Harvest(), driver otherwise.
  Checkpointer checkpointer_;
  Checkpoint checkpoint_;

  Mutex mutex_;  ///< guards what follows
  Condition changed_;
  bool stopping_ = false;
  bool connection_failed_ = false;
  bool goodbye_acknowledged_ = false;
  HandOverStage hand_over_ = HandOverStage::kNone;  ///< of the current connection
  bool may_be_held_ = false;                        ///< copy of holding_ for the driver
  std::optional<Status> taken_;                     ///< how the checkpoint went for which the driver waits
  ConnectionEnd end_;
  std::vector<std::shared_ptr<Link>> links_;  ///< of the current connection
  wire::Token token_{};
  Epoch committed_ = kSyncEpoch;
  wire::Committed committed_figures_;  ///< that came with it
  Epoch cut_ = kSyncEpoch;             ///< the epoch that the backup may commit next
  PrimaryState state_ = PrimaryState::kConnecting;
  std::string message_;
  std::string newer_;         ///< NewerSide() of the last comparison
  std::string sharing_note_;  ///< why pages are not shared, although that is wanted
  uint64_t losses_ = 0;
  uint64_t memory_sync_left_ = 0, sync_total_ = 0, live_wire_bytes_ = 0;
  EpochHistory history_;

  std::atomic<int64_t> cpu_us_{0};
  Thread driver_;
};

const char* PrimaryStateName(PrimaryState state);

}  // namespace haven::session

#endif
