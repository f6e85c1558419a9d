/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CLI_GUEST_QUERY_H
#define HAVEN_CLI_GUEST_QUERY_H

#include <string>
#include <vector>

#include "core/status.h"
#include "qmp/json.h"

namespace haven::cli {

/// Executes one QMP command on a connection of its own: a device model serves
/// one connection at a time, and others want to ask, too.
/// @return kRefused with the device model's reason; kEnvironment, kPeerLost or
///         kProtocol when it cannot be asked.
Result<qmp::Json> AskGuest(const std::string& qmp_path, const std::string& command, const qmp::Json& arguments = {});

/// The answer of query-haven with "_" for "-" and the parts of the pause as
/// members of their own: p50-us.stop becomes stop_p50_us. Pure.
qmp::Json FlattenPrimaryStatus(const std::string& name, const qmp::Json& answer);

/// One request on havend's control socket. Its "ok":false becomes kRefused.
Result<qmp::Json> AskHavend(const std::string& control_path, const qmp::Json& request);

/// Joins what the primaries and havend said: a guest that havend knows and
/// whose device model is not protecting is not listed a second time. Pure.
std::vector<qmp::Json> MergeGuests(const std::vector<qmp::Json>& primaries, std::vector<qmp::Json> backups);

}  // namespace haven::cli

#endif
