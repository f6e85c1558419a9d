// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/newer_wins.h"

#include "core/assert.h"
#include "core/failpoint.h"

namespace haven::session {
namespace {

bool CheckpointOfAnotherRun(const wire::Identity& primary, const wire::Identity& backup) {
  return backup.Has(wire::kIdentityCheckpoint) && !backup.Has(wire::kIdentityLifeEnded) && backup.life != primary.life;
}

bool HasGeneration(const wire::Identity& side) { return !side.lineage.empty() && !side.Has(wire::kIdentityFresh); }

std::string What(const wire::Identity& side) {
  if (!HasGeneration(side)) return "no generation";
  std::string text = Describe(side.lineage.current());
  if (side.epoch != kSyncEpoch) text += ", with epoch " + std::to_string(side.epoch);
  if (side.committed_s != 0) text += " of " + DescribeTime(side.committed_s);
  return text;
}

std::string Both(const wire::Identity& primary, const wire::Identity& backup) {
  return "the backup has " + What(backup) + "; the primary has " + What(primary);
}

}  // namespace

Ruling RuleOnSession(const wire::Identity& primary, const wire::Identity& backup) {
  if (backup.Has(wire::kIdentityRunning)) return Ruling::kBackupRuns;
  if (CheckpointOfAnotherRun(primary, backup)) return Ruling::kCheckpointWaits;
  if (backup.lineage.empty()) return Ruling::kGo;
  // A fresh one that the backup has is the primary's own, which could not write it down.
  const bool same = !primary.lineage.empty() && Compare(backup.lineage, primary.lineage) == Kin::kEqual;
  if (!HasGeneration(primary) && !same) {
    return backup.Has(wire::kIdentityPartial) ? Ruling::kGo : Ruling::kUnknownPrimary;
  }
  switch (Compare(backup.lineage, primary.lineage)) {
    case Kin::kEqual:
    case Kin::kAncestor: return Ruling::kGo;
    case Kin::kDescendant: return BreakRequested("older-overwrites-newer") ? Ruling::kGo : Ruling::kBackupIsNewer;
    case Kin::kDiverged: return Ruling::kSplitBrain;
  }
  HAVEN_ASSERT(false);
}

Ruling RuleOnStart(const wire::Identity& primary, const wire::Identity& backup) {
  if (backup.Has(wire::kIdentityRunning)) return Ruling::kBackupRuns;
  if (backup.Has(wire::kIdentityBusy)) return Ruling::kBackupBusy;
  if (backup.lineage.empty() || primary.lineage.empty()) return Ruling::kGo;
  switch (Compare(backup.lineage, primary.lineage)) {
    case Kin::kEqual: return CheckpointOfAnotherRun(primary, backup) ? Ruling::kCheckpointWaits : Ruling::kGo;
    // The primary has let output go since: what it holds is what its clients know.
    case Kin::kAncestor: return Ruling::kGo;
    case Kin::kDescendant: return Ruling::kBackupIsNewer;
    case Kin::kDiverged: return Ruling::kSplitBrain;
  }
  HAVEN_ASSERT(false);
}

std::string Explain(Ruling ruling, const std::string& guest, const wire::Identity& primary,
                    const wire::Identity& backup) {
  const std::string discard = "haven discard " + guest;
  switch (ruling) {
    case Ruling::kGo: break;
    case Ruling::kCheckpointWaits:
      return "the backup holds a checkpoint of an earlier run of guest " + guest +
             " that nobody has decided about (epoch " + std::to_string(backup.epoch) + ", committed " +
             DescribeTime(backup.committed_s) + "): on the backup, run haven failover " + guest +
             " to go on from it there, or " + discard + " to throw it away";
    case Ruling::kBackupIsNewer:
      return "the copy of guest " + guest + " on the backup is newer: " + Both(primary, backup) +
             "; to go on with the backup's, run " + discard + " on the primary; to throw the backup's away, run " +
             discard + " on the backup";
    case Ruling::kSplitBrain:
      return "both copies of guest " + guest + " went on without the other (split brain): " + Both(primary, backup) +
             "; choose one: " + discard + " on a host throws away the copy there";
    case Ruling::kUnknownPrimary:
      return "nothing says that the primary's disks are of the same history as the copy of guest " + guest +
             " on the backup (is the primary new, " + "re-installed, renamed or restored?): " + Both(primary, backup) +
             "; if the primary's disks are right, run haven adopt " + guest +
             " on the backup, and its copy is overwritten";
    case Ruling::kBackupRuns:
      return "guest " + guest +
             " was promoted and runs on the backup; to make the disks here free for a copy of it, run " + discard +
             " on the primary";
    case Ruling::kBackupBusy:
      return "the backup still has a session of the last run of guest " + guest + ", or promotes it";
  }
  HAVEN_ASSERT(false);
}

const char* NewerSide(const wire::Identity& primary, const wire::Identity& backup) {
  if (!HasGeneration(primary) || !HasGeneration(backup)) return "unknown";
  switch (Compare(backup.lineage, primary.lineage)) {
    case Kin::kEqual: return "equal";
    case Kin::kAncestor: return "primary";
    case Kin::kDescendant: return "backup";
    case Kin::kDiverged: return "diverged";
  }
  HAVEN_ASSERT(false);
}

}  // namespace haven::session
