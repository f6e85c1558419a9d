/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_OS_RECORDED_SPAWN_H
#define HAVEN_OS_RECORDED_SPAWN_H

#include <functional>
#include <memory>
#include <string>
#include <sys/types.h>
#include <vector>

#include "core/status.h"
#include "os/process.h"

namespace haven::os {

/// What to execute, without a shell.
struct ProgramSpec {
  std::vector<std::string> argv;  ///< [0] is a path
  std::vector<int> inherited;     ///< descriptors it keeps, under the same numbers
  std::string output_path;        ///< standard output and error; the former file becomes .1
};

/// Starts a program that outlives this process, in a session of its own, so that no
/// signal to this process's terminal or group reaches it, with its limits given back (OwnLimits). It executes nothing
/// that is not on record: for that it begins as a copy of this process, which Spawn() avoids.
/// @param record  called with the pid while the child still waits;
///        when it fails, or this process dies, the child ends without having
///        executed anything.
/// @return kEnvironment naming the program when it cannot be executed.
Result<std::unique_ptr<Process>> SpawnRecorded(const ProgramSpec& spec, const std::function<Status(pid_t)>& record);

}  // namespace haven::os

#endif
