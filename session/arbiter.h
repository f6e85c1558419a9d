/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_ARBITER_H
#define HAVEN_SESSION_ARBITER_H

#include <string>

#include "core/status.h"

namespace haven::session {

/// Decides which side may go on when primary and backup have lost each other.
/// @param command  shell-quoted words, run without a shell with HAVEN_GUEST,
///                 HAVEN_INSTANCE (this run of the guest, hex) and HAVEN_ROLE
///                 (primary or backup) in its environment. Exit 0: this side
///                 has won; all else: it has not.
/// @return Ok when won; kRefused when lost; kEnvironment when it could not be run.
/// Blocks until the command ends; any thread.
Status AskArbiter(const std::string& command, const std::string& guest, const std::string& instance, const char* role);

}  // namespace haven::session

#endif
