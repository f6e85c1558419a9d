/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_OS_SPAWN_PROGRAM_H
#define HAVEN_OS_SPAWN_PROGRAM_H

#include <memory>
#include <string>
#include <vector>

#include "core/status.h"
#include "os/process.h"

namespace haven::os {

/// A program and the files it begins with. File descriptors stay the caller's.
struct SpawnPlan {
  std::vector<std::string> argv;  ///< argv[0] is the path of the program
  int in, out;                    ///< its standard input and output
  int error = -1;                 ///< its standard error; -1: the caller's
  int keep = -1;                  ///< is open in it under the same number, though close-on-exec here; -1: none
  std::vector<std::string> environment = {};  ///< all of it, NAME=VALUE each; empty: this process's
};

/// Starts a program in a session of its own, with all signals as by default. Copies
/// nothing of this process's memory: it costs the same with a guest's whole memory in it, and works
/// when there is no room for a second one. It gets back its limits (OwnLimits) as it begins. Any thread.
/// @return its process, which is executing the program already; the reason otherwise, without the program's name.
Result<std::unique_ptr<Process>> Spawn(const SpawnPlan& plan);

}  // namespace haven::os

#endif
