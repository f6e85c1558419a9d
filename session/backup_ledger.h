/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_BACKUP_LEDGER_H
#define HAVEN_SESSION_BACKUP_LEDGER_H

#include <string>

#include "blkrep/guest_record.h"
#include "session/replica_rules.h"

namespace haven::session {

/// The record of a backup's copy, and what happens to the copy, each step on stable storage before
/// it is taken. The device model of a promoted guest writes the same file, so it is read anew
/// each time. Callers serialise.
class BackupLedger {
 public:
  BackupLedger(ReplicaSetting setting, std::string folder) : setting_(std::move(setting)), folder_(std::move(folder)) {}

  const ReplicaSetting& setting() const { return setting_; }
  /// An empty record when there is none.
  Result<blkrep::GuestRecord> Read() const;
  /// What a peer is told of it; the flags that only the running program knows are left out.
  static wire::Identity IdentityOf(const blkrep::GuestRecord& record);
  /// No crash of this host can have left the replicas with a part of an epoch.
  /// @param durable  each write was on stable storage before it was acknowledged.
  static bool SurelyWhole(const blkrep::GuestRecord& record, bool durable);

  /// The replicas become those of this primary's guest: from now on they are a part of a copy.
  /// @param session  token of it.
  Status BeginCopy(const wire::Identity& primary, const wire::Layout& layout, const wire::Token& session);
  /// The first epoch is committed: the copy is whole.
  Status Whole(Epoch epoch);
  /// The session is over, and all of `epoch` is in the replicas and synced.
  /// @param life_ended  by a GOODBYE.
  Status SessionEnded(Epoch epoch, uint64_t committed_s, bool life_ended);
  /// Before a primary hears that it may run the guest without this copy. The first time counts. Nothing is written
  /// where there is no copy.
  Status PrimaryGoesAlone();
  /// Before the guest is started here: this copy is a generation of its own.
  /// @param before  filled: for TakeBack(), when it could not be started. @return why the record is as it was.
  Status Promote(Origin origin, blkrep::GuestRecord& before);
  Status TakeBack(const blkrep::GuestRecord& before) { return blkrep::SaveGuestRecord(folder_, before); }
  /// A person's words.
  Status Discard();
  Status Adopt();

 private:
  /// @param whatever_is_there  also over a record that cannot be read: a person decides.
  template <typename Change>
  Status Update(Change change, bool whatever_is_there = false);

  const ReplicaSetting setting_;
  const std::string folder_;
};

}  // namespace haven::session

#endif
