/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_GUEST_RUN_H
#define HAVEN_SESSION_GUEST_RUN_H

#include <string>

#include "core/wire.h"

namespace haven::session {

/// For status and programs: running, paused, io-error, panicked, watchdog, other or unknown.
const char* GuestRunName(wire::GuestRun run);
/// For people. Empty when there is nothing to say.
std::string DescribeRun(wire::GuestRun run);
/// For people: of a guest that was left as it was when its primary was lost.
std::string DescribeLeft(wire::GuestRun run);

}  // namespace haven::session

#endif
