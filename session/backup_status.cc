// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/backup_status.h"

#include "core/assert.h"

namespace haven::session {

const char* BackupStateName(BackupState state) {
  switch (state) {
    case BackupState::kWaiting: return "waiting";
    case BackupState::kSyncing: return "syncing";
    case BackupState::kVerifying: return "verifying";
    case BackupState::kProtecting: return "protecting";
    case BackupState::kStuck: return "stuck";
    case BackupState::kPrimaryLost: return "primary-lost";
    case BackupState::kPromoting: return "promoting";
    case BackupState::kPromoted: return "promoted";
    case BackupState::kFailed: return "failed";
  }
  HAVEN_ASSERT(false);
}

}  // namespace haven::session
