/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_MEMORY_NEED_H
#define HAVEN_SESSION_MEMORY_NEED_H

#include <optional>

#include "core/status.h"
#include "os/memory_left.h"
#include "session/primary_options.h"

namespace haven::session {

/// Whether the process of a guest with `memory_bytes` may take what its protection needs at least.
/// @return kRefused: no; it says how much, and which limit to raise.
Status CheckMemory(const PrimaryOptions& options, uint64_t memory_bytes, const std::optional<os::MemoryLimit>& limit);

}  // namespace haven::session

#endif
