/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <cstdio>
#include <cstdlib>

#include "cli/commands.h"
#include "cli/format.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unversioned"
#endif

namespace haven::cli {

namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

Status Run(const Arguments& arguments) {
  if (arguments.command == "protect") return Protect(arguments);
  if (arguments.command == "set") return SetMode(arguments);
  if (arguments.command == "check") return Check(arguments);
  if (arguments.command == "unprotect") return Unprotect(arguments);
  if (arguments.command == "failover") return Failover(arguments);
  if (arguments.command == "discard") return Discard(arguments);
  if (arguments.command == "adopt") return Adopt(arguments);
  if (arguments.command == "reload") return Reload(arguments);
  return ShowStatus(arguments);
}

int Main(const std::vector<std::string>& words) {
  Result<Arguments> arguments = ParseArguments(words, getenv("HAVEN_RUN_DIR"));
  if (!arguments.ok()) {
    fprintf(stderr, "haven: %s; see haven --help\n", arguments.status().message().c_str());
    return kExitUsage;
  }
  if (arguments.value().help) {
    fputs(HelpText(arguments.value().command).c_str(), stdout);
    return 0;
  }
  if (arguments.value().version) {
    printf("haven %s\n", PACKAGE_VERSION);
    return 0;
  }
  ResolveDomid(arguments.value());
  Status status = Run(arguments.value());
  if (status.ok()) return 0;
  fflush(stdout);
  fprintf(stderr, "haven: %s\n", Printable(status.message()).c_str());
  return kExitFailed;
}

}  // namespace

}  // namespace haven::cli

int main(int argc, char** argv) { return haven::cli::Main(std::vector<std::string>(argv + 1, argv + argc)); }
