/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_PRIMARY_SESSION_H
#define HAVEN_SESSION_PRIMARY_SESSION_H

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "blkrep/disk_replicator.h"
#include "memrep/page_codec.h"
#include "netrep/output_buffer.h"
#include "session/checkpointer.h"
#include "session/epoch_history.h"
#include "session/guest.h"
#include "session/main_thread.h"
#include "session/primary_connection.h"

namespace haven::session {

struct PrimaryOptions {
  ConnectOptions connect;
  milliseconds interval{50};
  bool pause_on_loss = false;  ///< hold output until a backup is back
  std::string arbiter;         ///< empty: none
  uint64_t output_limit_bytes = 64ull << 20;
  memrep::EncoderOptions encoder{.cache_bytes = 0};  ///< cache_bytes 0: in proportion to the guest
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

  /// Main thread. Ends protection for good; output is released if that is safe
  /// or decided, else the guest is halted.
  void Stop(wire::Goodbye reason);

  /// Main thread.
  PrimaryStatus Query();
  /// Main thread. @return whether the session took the frame.
  bool Output(void* nic, unsigned flags, const iovec* iov, int iov_count);
  /// Any thread.
  blkrep::DiskReplicator& disks() { return disks_; }
  /// Any thread: the current connection, if any, ends for this reason.
  void Fail(ConnectionEnd end);

 private:
  /// For the disk and memory links: their end may be seen before the ERROR on
  /// the control link that explains it, and says whether the guest may go on.
  void FailUnlessExplained(ConnectionEnd end);
  void Drive();
  ConnectionEnd RunConnection();
  Status Protect(PrimaryConnection& c);
  void NewEncoder(uint64_t features);
  Status Synchronise(PrimaryConnection& c);
  Status FinishDisks();
  Status TakeEpochs(PrimaryConnection& c);
  Status OneEpoch(class MemorySender& sender, PrimaryConnection& c);
  Status AwaitCommit(Epoch epoch, PrimaryConnection& c);
  void ReceiveControl(Link& control);
  Status OnControlRecord(const Record& record);
  void ReceiveDiskAcks(Link& disk);
  void OnCommitted(Epoch epoch);
  /// The connection has ended. @return whether to try again.
  bool AfterConnection(const ConnectionEnd& end);
  bool AskToGoOn();
  void ReleaseAll();
  void HaltGuest();

  Status CallMain(const std::function<Status()>& fn);
  void SetState(PrimaryState state, const std::string& message);
  bool Failed();
  void AddCpuTime(microseconds& last);

  const PrimaryOptions options_;
  Guest& guest_;
  wire::Layout layout_;
  MainThread main_;
  blkrep::DiskReplicator disks_;
  std::unique_ptr<memrep::PageEncoder> encoder_;  ///< driver; of this connection

  // Main thread only.
  netrep::OutputBuffer output_;
  bool holding_ = false;  ///< output waits for commits: the backup may have a checkpoint
  bool stopped_ = false;

  // Main thread during Take() and Harvest(), driver otherwise.
  Checkpointer checkpointer_;
  Checkpoint checkpoint_;

  std::mutex mutex_;  ///< guards what follows
  std::condition_variable changed_;
  bool stopping_ = false;
  bool connection_failed_ = false;
  bool goodbye_acknowledged_ = false;
  bool may_be_held_ = false;  ///< copy of holding_ for the driver
  ConnectionEnd end_;
  std::vector<std::shared_ptr<Link>> links_;  ///< of the current connection
  wire::Token token_{};
  Epoch committed_ = kSyncEpoch;
  Epoch cut_ = kSyncEpoch;  ///< the epoch that the backup may commit next
  PrimaryState state_ = PrimaryState::kConnecting;
  std::string message_;
  uint64_t losses_ = 0;
  uint64_t memory_sync_left_ = 0, sync_total_ = 0, live_wire_bytes_ = 0;
  EpochHistory history_;

  std::atomic<int64_t> cpu_us_{0};
  std::thread driver_;
};

const char* PrimaryStateName(PrimaryState state);

}  // namespace haven::session

#endif
