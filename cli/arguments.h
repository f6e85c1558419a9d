/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CLI_ARGUMENTS_H
#define HAVEN_CLI_ARGUMENTS_H

#include <cstdint>
#include <string>
#include <vector>

#include "cli/mode_arguments.h"
#include "core/status.h"

namespace haven::cli {

constexpr char kDefaultPort[] = "7789";

/// What the command line says.
struct Arguments {
  std::string command;  ///< empty with help or version
  bool help = false;
  bool version = false;
  std::string guest;  ///< empty: all (status only)
  std::string run_dir;
  std::string qmp;  ///< empty: in run_dir
  std::string host, port;
  ModeArguments mode;
  bool settings = false;  ///< set: there are some
  uint32_t deadline_ms = 1000;
  uint32_t output_limit_mib = 0, lag_limit_s = 0;  ///< 0: the device model's default
  std::string on_backup_loss = "continue";
  std::string arbiter;  ///< empty: none
  struct Encoder {      ///< empty and 0: the device model's default
    std::string stages, compression;
    uint32_t block_bytes = 0;
    uint32_t cache_mib = 0, cache_percent = 0;  ///< one of them
    uint32_t cpu_percent = 0;
    uint32_t threads = 0;
    bool share = false;
  } encoder;
  uint32_t timeout_s = 10;
  bool wait = true;
  bool json = false;
  bool force = false;
  bool planned = false;
  bool cold = false;
  bool yes = false;
  uint32_t start_wait_s = 60;
  std::string on_start;  ///< empty: the device model's default

  std::string QmpPath() const { return qmp.empty() ? run_dir + "/" + guest + ".qmp" : qmp; }
  std::string ControlPath() const { return run_dir + "/havend.sock"; }
};

/// @param words  without the program's name.
/// @param environment_run_dir  HAVEN_RUN_DIR, or nullptr.
/// @return kInvalid with one sentence.
Result<Arguments> ParseArguments(const std::vector<std::string>& words, const char* environment_run_dir);

/// A guest that is named by its domain's number gets its name, when the device
/// model has left it in the folder by-domid of the run directory.
void ResolveDomid(Arguments& arguments);

/// The text of --help, for one command or, when empty, for all.
std::string HelpText(const std::string& command);

}  // namespace haven::cli

#endif
