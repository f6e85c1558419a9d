/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_XEN_SPAWN_PROGRAM_H
#define HAVEN_XEN_SPAWN_PROGRAM_H

#include <string>
#include <sys/types.h>
#include <vector>

#include "core/status.h"

namespace haven::xen {

/// A program and the files it begins with. File descriptors stay the caller's.
struct SpawnPlan {
  std::vector<std::string> argv;  ///< argv[0] is the path of the program
  int in, out;                    ///< its standard input and output
  int error = -1;                 ///< its standard error; -1: the caller's
  int keep = -1;                  ///< is open in it under the same number, though close-on-exec here; -1: none
};

/// Starts a program in a session of its own, with all signals as by default. Copies
/// nothing of this process's memory: it costs the same with a guest's whole memory in it, and works
/// when there is no room for a second one. Any thread.
/// @return its process, which is executing the program already; the reason otherwise, without the program's name.
Result<pid_t> Spawn(const SpawnPlan& plan);

}  // namespace haven::xen

#endif
