/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_PRIMARY_LEDGER_H
#define HAVEN_SESSION_PRIMARY_LEDGER_H

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/threads.h"
#include "blkrep/guest_record.h"

namespace haven::session {

/// Which guest this is, on which disks, and where its record is kept.
struct PrimaryPlace {
  std::string guest;
  std::string folder;  ///< of this guest's state; shared with the havend of this host
  std::vector<wire::Layout::Disk> disks;
  std::map<std::string, std::string> paths;  ///< by the name of the disk; missing: it is on no disk of this host
};

/// The record of a primary's copy; each step is on stable storage before it is taken. Any thread.
class PrimaryLedger {
 public:
  /// @param life  names this run of the guest.
  PrimaryLedger(PrimaryPlace place, const wire::Token& life) : place_(std::move(place)), life_(life) {}

  /// Whether a record can be kept there. @return kRefused or kEnvironment with what to do.
  Status Check();
  /// What a backup is told. Disks that no record of this host is about have no generation: they get a
  /// fresh one, which counts once a backup has taken it.
  Result<wire::Identity> Identify();
  /// The backup has accepted this copy. @param how  the members that are a primary's policy, and the session's token.
  Status BeginSession(const blkrep::GuestRecord& how);
  /// Before output leaves without the backup.
  Status GoAlone();
  /// The backup knows that this run has ended, or its protection.
  Status LifeEnded();

 private:
  // Under mutex_.
  Result<wire::Identity> IdentifyLocked();
  /// The record, if it is about these disks and this host's copy is one to go on with.
  Result<std::optional<blkrep::GuestRecord>> Own();

  const PrimaryPlace place_;
  const wire::Token life_;
  Mutex mutex_;    ///< one change of the record at a time; held across its I/O
  Lineage fresh_;  ///< under mutex_
};

/// The current generation is replaced by one that no backup has.
void BeginAlone(blkrep::GuestRecord& record, Origin origin);

}  // namespace haven::session

#endif
