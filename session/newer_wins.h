/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_NEWER_WINS_H
#define HAVEN_SESSION_NEWER_WINS_H

#include <string>

#include "core/records.h"

namespace haven::session {

/// What comes of it when a primary and a backup have compared what they hold of a guest.
enum class Ruling {
  kGo,
  kCheckpointWaits,  ///< the backup holds a checkpoint of another run: a person decides
  kBackupIsNewer,
  kSplitBrain,      ///< both went on without the other
  kUnknownPrimary,  ///< nothing says that the primary's disks are of the backup's history
  kBackupRuns,
  kBackupBusy,  ///< it will be one of the others soon
};

/// May the primary copy its guest to this backup? Both sides ask, before anything is touched. Pure.
/// Each row of the table in docs/generations.md is a test.
Ruling RuleOnSession(const wire::Identity& primary, const wire::Identity& backup);
/// May a primary that was switched on run its guest? Pure.
Ruling RuleOnStart(const wire::Identity& primary, const wire::Identity& backup);

/// One sentence: what each side has, and the commands that decide. @param ruling  not kGo.
std::string Explain(Ruling ruling, const std::string& guest, const wire::Identity& primary,
                    const wire::Identity& backup);

/// For `haven status`: "equal", "primary", "backup", "diverged" or "unknown".
const char* NewerSide(const wire::Identity& primary, const wire::Identity& backup);

}  // namespace haven::session

#endif
