/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_OS_RUN_PROGRAM_H
#define HAVEN_OS_RUN_PROGRAM_H

#include <string>
#include <vector>

#include "core/clock.h"
#include "core/status.h"

namespace haven::os {

/// Runs a program to its end, without a shell, its standard input empty.
/// @param argv      a program, and at least one argument, which messages name.
/// @param log_path  takes what it writes to standard error.
/// @return its standard output if it exits with 0, else kEnvironment that says how it ended.
Result<std::string> RunProgram(const std::vector<std::string>& argv, const std::string& log_path, milliseconds timeout);

/// Opens the log of programs, made if it is not there, to append to it. @return -1, and errno says why.
int OpenProgramLog(const std::string& path);

}  // namespace haven::os

#endif
