/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_FIRST_COPY_H
#define HAVEN_SESSION_FIRST_COPY_H

#include "session/epoch_loop.h"

namespace haven::session {

/// Copies the guest's memory and disks to the backup while it runs, until little is left for the first
/// checkpoint. Driver thread.
Status CopyFirst(const PrimaryParts& parts, PrimaryConnection& c, MemorySender& sender);

uint64_t MemoryBytes(const Guest& guest);

}  // namespace haven::session

#endif
