/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_REPLICA_RULES_H
#define HAVEN_SESSION_REPLICA_RULES_H

#include <map>
#include <string>
#include <vector>

#include "blkrep/disk_bond.h"
#include "blkrep/guest_record.h"
#include "blkrep/replica.h"

namespace haven::session {

/// @param why  names what stands against it, and what to do.
inline Status Refused(const std::string& why) { return {StatusCode::kRefused, why}; }

/// The replicas of one guest, as its configuration and its record have them.
struct ReplicaSetting {
  std::string guest;
  std::map<std::string, std::string> paths;  ///< name of the disk -> path of the replica
  bool create = false;                       ///< missing ones are made
};

struct ReplicaRuling {
  blkrep::ReplicaOptions options;
  /// It is the recorded disk, as it was: what a session before has copied there is still in it.
  bool kept = false;
};

/// How the replica of `disk` may be opened, so that nothing is overwritten that is not ours or
/// that a person has not decided about. Only looks.
/// @return kRefused naming path, content and the command that resolves it.
Result<ReplicaRuling> RuleOnReplica(const ReplicaSetting& setting, const blkrep::GuestRecord& record,
                                    const wire::Layout::Disk& disk);

/// Whether the replicas of a record are still the disks that they were.
/// @return kRefused naming the one that is not.
Status CheckBonds(const blkrep::GuestRecord& record);

/// Binds a record to the disks at these paths, whose files get marks.
/// @param disks  name and size; @param paths  by name.
/// @param claim  kWhosever: a person has allowed it.
Result<std::vector<blkrep::GuestRecord::Disk>> BindDisks(const std::string& guest,
                                                         const std::vector<wire::Layout::Disk>& disks,
                                                         const std::map<std::string, std::string>& paths,
                                                         blkrep::Claim claim);

/// The path of a configured replica whose mark says that it was a disk of this guest here; empty: there is none.
std::string MarkedReplica(const ReplicaSetting& setting);

/// For people, before something is thrown away: each path and what is on it.
std::string DescribeReplicas(const ReplicaSetting& setting);

}  // namespace haven::session

#endif
