/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_BACKUP_SITUATION_H
#define HAVEN_SESSION_BACKUP_SITUATION_H

#include <memory>
#include <string>

#include "core/threads.h"
#include "session/activator.h"
#include "session/backup_connection.h"
#include "session/backup_ledger.h"
#include "session/backup_options.h"
#include "session/backup_status.h"
#include "session/backup_store.h"

namespace haven::session {

/// How things stand with one guest on its backup host. The parts of a BackupGuest share it; what is
/// done about it is theirs.
///
/// Locks: `promotion` is taken before `mutex`; a connection's own with neither of them.
struct BackupSituation {
  BackupSituation(BackupGuestOptions options_in, Activator& activator_in);

  /// Takes `mutex`.
  void SetState(BackupState to, const std::string& why);
  /// Nothing may be thrown away, nor a guest started, under what runs. Takes `mutex`; asks the activator, which may
  /// take as long as a program.
  Status RefuseWhileInUse();

  // Under `mutex`:
  /// A store with an epoch that the guest could go on from.
  bool HasCommitted() const { return store && store->committed() != kSyncEpoch; }
  /// ... and that is what a primary is told of: no session writes to it.
  bool HoldsCheckpoint() const;
  /// It answers, but takes no checkpoints, since its main thread gets nowhere.
  bool PrimaryStuck() const;
  /// What the guest does, or did last, as far as its primary has said.
  wire::GuestRun Run() const;
  /// A session must not begin then.
  bool InHand() const { return connection || state == BackupState::kPromoting || failovers_wanted > 0 || deciding; }
  /// Reads the record: what a primary was told outlives this program.
  Status RefuseIfPrimaryAlone() const;
  /// A promotion that listens for the primary is off: it was heard of. Nothing if none does.
  void StandDown(const std::string& why);

  const BackupGuestOptions options;
  Activator& activator;
  BackupLedger ledger;

  /// One promotion at a time, and none while a checkpoint is dropped; held across it.
  Mutex promotion;

  Mutex mutex;                 ///< guards what follows
  Condition changed;           ///< any of it
  bool shutting_down = false;  ///< nothing begins any more
  BackupState state = BackupState::kWaiting;
  std::string message;
  std::shared_ptr<BackupConnection> connection;  ///< of the session that is there; nullptr: none
  /// While `connection` has a store, it is this one, and its threads use it without the lock.
  std::unique_ptr<BackupStore> store;
  wire::Liveness primary_says;  ///< of the session that is there
  wire::Token token{};          ///< of the session that the store, or what is booted, came from
  int failovers_wanted = 0;     ///< persons who wait for one
  /// A promotion waits whether the primary is heard of. Set when the session ends, taken back by the thread that
  /// waits, which leaves the mutex alone from then on; `heard` ends the wait.
  bool listening = false, heard = false;
  bool taking_over = false;  ///< the guest that the primary has handed over is being started
  bool deciding = false;     ///< what is here is being thrown away or given up, under `promotion`
  uint64_t failover_ms = 0;
  std::string newer, refusal;  ///< of the last comparison
  std::string other_machine;   ///< of this session: how the machine here differs from the primary's; empty: it does not
};

/// For people.
std::string DescribeStuck(const wire::Liveness& liveness);

}  // namespace haven::session

#endif
