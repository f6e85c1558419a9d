/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CLI_COMMANDS_H
#define HAVEN_CLI_COMMANDS_H

#include "cli/arguments.h"
#include "core/status.h"

namespace haven::cli {

// One function a command. They print to standard output; an error is the one
// sentence for standard error.

Status Protect(const Arguments& arguments);
Status SetMode(const Arguments& arguments);
Status Unprotect(const Arguments& arguments);
Status Check(const Arguments& arguments);
Status ShowStatus(const Arguments& arguments);
Status Failover(const Arguments& arguments);
Status Discard(const Arguments& arguments);
Status Adopt(const Arguments& arguments);
Status Reload(const Arguments& arguments);

/// Says what is about to be lost, and asks unless --yes. @return kRefused when it is not confirmed.
Status Confirm(const Arguments& arguments, const std::string& what);

}  // namespace haven::cli

#endif
