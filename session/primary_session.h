/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_PRIMARY_SESSION_H
#define HAVEN_SESSION_PRIMARY_SESSION_H

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "session/epoch_loop.h"
#include "session/going_alone.h"
#include "session/main_progress.h"

namespace haven::session {

/// Protects one running guest: finds the backup, copies the guest there while
/// it runs, then takes an epoch after the other; survives the loss of the
/// backup and comes back to it. The only place where memory, disks and network
/// of the primary meet.
///
/// Threads: `driver` connects, paces and sends epochs, and decides what follows a loss; PrimaryConnection has those
/// of a connection. The guest is touched on the main thread only.
class PrimarySession : private PrimaryConnection::Events {
 public:
  /// Main thread. `guest` outlives the session.
  PrimarySession(PrimaryOptions options, Guest& guest, std::vector<blkrep::DiskReplicator::Disk> disks);
  /// Main thread. Without Stop() before, the backup takes it for this process's death.
  ~PrimarySession() override;

  /// Main thread, before the session: whether this guest's record can be kept. @return why not, and what to do.
  static Status CheckState(const PrimaryOptions& options, const std::vector<blkrep::DiskReplicator::Disk>& disks);
  /// Main thread. Begins the end of protection, for good, and does not wait: the backup is told; when it does not hear
  /// that, it and the arbiter are asked, until one of them decides. Then what is held leaves, or the guest is halted,
  /// and Guest::Ended() follows. A guest that is powered off waits for one answer of each at most; to say
  /// so while the session ends already is allowed.
  /// @return not Ok: there is no memory or thread for it. Nothing has ended.
  Status Stop(wire::Goodbye reason);

  /// Main thread.
  PrimaryStatus Query();
  /// Main thread. @return whether the session took the frame.
  bool Output(void* nic, unsigned flags, const iovec* iov, int iov_count);
  /// Any thread. From now on epochs end so; the guest stays protected. @return kInvalid as CheckMode().
  Status SetMode(const ModeSettings& settings);
  ModeSettings mode() { return mode_.Get(); }
  /// Main thread: see EpochLoop::GuestReady().
  bool GuestReady(const Status& status);
  /// Any thread.
  blkrep::DiskReplicator& disks() { return disks_; }
  /// Any thread: the current connection, if any, ends for this reason.
  void Fail(ConnectionEnd end);

 private:
  void OnCommitted(Epoch epoch) override;
  void OnVerifying() override;
  void OnProtected() override;
  wire::Liveness Look() override { return progress_.Look(); }

  /// For each disk, whether all of it is to be sent; once the backup has said so.
  using CopyAll = std::optional<std::vector<bool>>;

  void Drive();
  /// @return nullptr: the session ends.
  std::shared_ptr<PrimaryConnection> NewConnection();
  std::shared_ptr<PrimaryConnection> connection();
  ConnectionEnd RunConnection(const std::shared_ptr<PrimaryConnection>& c);
  /// From the first record to the backup's word that it takes the guest.
  Status Agree(PrimaryConnection& c, PageEncoding& encoding, CopyAll& copy_all, ConnectionEnd& end);
  Status Protect(const std::shared_ptr<PrimaryConnection>& c, PageEncoding& encoding);
  /// The connection has ended. Until what follows has been decided and done. @return whether to try again.
  bool SettleConnection(PrimaryConnection& c, const ConnectionEnd& end);
  bool AfterConnection(PrimaryConnection& c, const ConnectionEnd& end);

  // What follows Stop(), in primary_end.cc; on a thread of its own but for Finish().
  struct Ending {
    enum class Guest { kGoesOn, kIsToHalt, kIsHalted } guest;
    PrimaryState state;
    std::string message;
  };
  void End(wire::Goodbye reason);
  /// Until it is decided whether the guest goes on; the driver is at its end then.
  /// @param heard  whether the backup has heard GOODBYE; none: it was not said.
  Ending EndProtection(wire::Goodbye reason, std::optional<bool>& heard);
  bool SayGoodbye(PrimaryConnection& c, wire::Goodbye reason);
  Status RecordEnd(wire::Goodbye reason);
  /// Main thread.
  void Finish(const Ending& ending);

  /// Driver. Whether the last checkpoint that was asked for waits for a disk.
  bool DiskHangs();
  void HaltGuest();
  void SetState(PrimaryState state, const std::string& message);

  const PrimaryOptions options_;
  Clock& clock_;  ///< of all its deadlines and periods
  Guest& guest_;
  wire::Layout layout_;
  PrimaryLedger ledger_;
  MainThread main_;
  MainProgress progress_;  ///< thread of heartbeats
  blkrep::DiskReplicator disks_;
  memrep::WorkerPool workers_;  ///< of the checkpointer in the pause, else of the encoder
  OutputGate gate_;
  Checkpointer checkpointer_;
  PrimaryReport report_;
  CpuTime cpu_;
  StopFlag stop_;
  ModeSwitch mode_;
  const PrimaryParts parts_;
  EpochLoop epochs_;
  GoingAlone going_alone_;
  StopFlag abandoned_;  ///< the session is freed while it ends
  GoingAlone ending_alone_;
  std::string sharing_note_;  ///< why pages are not shared; driver, before the connection's threads start

  bool stopped_ = false;  ///< main thread

  Mutex mutex_;  ///< guards what follows
  bool stopping_ = false;
  std::shared_ptr<PrimaryConnection> connection_;  ///< the current one, or the last
  wire::Token token_{};                            ///< of the last session that the backup accepted

  Thread driver_;
  Thread end_;  ///< begins at Stop()
};

const char* PrimaryStateName(PrimaryState state);

}  // namespace haven::session

#endif
