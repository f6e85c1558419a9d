/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CORE_HOST_BOOT_H
#define HAVEN_CORE_HOST_BOOT_H

#include <string>

#include "core/records.h"
#include "core/status.h"

namespace haven {

/// Names this run of the host's system, as the kernel writes it; empty: it has no such name. Any thread.
std::string BootId();
/// The same as a token. @return kEnvironment when there is none.
Result<wire::Token> HostToken();

}  // namespace haven

#endif
