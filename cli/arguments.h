/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CLI_ARGUMENTS_H
#define HAVEN_CLI_ARGUMENTS_H

#include <cstdint>
#include <string>
#include <vector>

#include "core/status.h"

namespace haven::cli {

constexpr char kDefaultPort[] = "7789";

/// What the command line says.
struct Arguments {
  std::string command;  ///< protect, status, failover, unprotect; empty with help or version
  bool help = false;
  bool version = false;
  std::string guest;  ///< empty: all (status only)
  std::string run_dir;
  std::string qmp;  ///< empty: in run_dir
  std::string host, port;
  uint32_t interval_ms = 50;
  uint32_t deadline_ms = 1000;
  std::string on_backup_loss = "continue";
  std::string arbiter;  ///< empty: none
  uint32_t timeout_s = 10;
  bool wait = true;
  bool json = false;
  bool force = false;

  std::string QmpPath() const { return qmp.empty() ? run_dir + "/" + guest + ".qmp" : qmp; }
  std::string ControlPath() const { return run_dir + "/havend.sock"; }
};

/// @param words  without the program's name.
/// @param environment_run_dir  HAVEN_RUN_DIR, or nullptr.
/// @return kInvalid with one sentence.
Result<Arguments> ParseArguments(const std::vector<std::string>& words,
                                 const char* environment_run_dir);

/// The text of --help, for one command or, when empty, for all.
std::string HelpText(const std::string& command);

}  // namespace haven::cli

#endif
