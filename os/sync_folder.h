/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_OS_SYNC_FOLDER_H
#define HAVEN_OS_SYNC_FOLDER_H

#include <string>

#include "core/status.h"

namespace haven::os {

/// A new file's name must survive a crash of the host as its content does:
/// syncs the folder that `path` is in. @return kEnvironment naming the folder.
Status SyncFolderOf(const std::string& path);

}  // namespace haven::os

#endif
