/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_BACKUP_STATUS_H
#define HAVEN_SESSION_BACKUP_STATUS_H

#include <string>

#include "core/epoch.h"
#include "session/haven_figures.h"

namespace haven::session {

enum class BackupState {
  kWaiting,      ///< no primary
  kSyncing,      ///< first copy; a failover is not possible
  kVerifying,    ///< has a committed checkpoint, and tries whether it can be loaded
  kProtecting,   ///< ... and it can; the primary answers
  kStuck,        ///< ... but takes no checkpoints: only in what is shown
  kPrimaryLost,  ///< has a committed checkpoint, the primary is silent or gone
  kPromoting,
  kPromoted,  ///< the guest runs here
  kFailed,    ///< promotion failed; message says why
};
const char* BackupStateName(BackupState state);

/// The figures of haven_figures.h.
struct BackupFigures {
#define HAVEN_MEMBER(name, unit, meaning) uint64_t name = 0;
  HAVEN_BACKUP_FIGURES(HAVEN_MEMBER)
#undef HAVEN_MEMBER
};

struct BackupStatus : BackupFigures {
  BackupState state = BackupState::kWaiting;
  Epoch epoch = 0;
  std::string message;
  std::string primary;     ///< address, empty if none
  std::string generation;  ///< 16 hex digits; empty: none
  std::string run_state;   ///< GuestRunName() of what its primary has said
  std::string newer;       ///< NewerSide() of the last comparison; empty: there was none
};

}  // namespace haven::session

#endif
