/* SPDX-License-Identifier: GPL-2.0-or-later */
// haven discard and haven adopt: what a person decides about a copy, on the side where it is.
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <string>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/guest_query.h"

namespace haven::cli {

namespace {

using qmp::Json;

Status Failed(const std::string& message) { return Status(StatusCode::kRefused, message); }

/// A copy that was started here, or was to be, is decided about with its device model.
bool IsDeviceModels(const Json& status) {
  const std::string state = status["state"].String();
  return state == "held" || state == "lost";
}

Status Decide(const Arguments& arguments, const std::string& what_it_does) {
  const std::string& command = arguments.command;
  std::error_code error;
  Status no_guest(StatusCode::kEnvironment, "there is no " + arguments.QmpPath());
  if (std::filesystem::exists(arguments.QmpPath(), error)) {
    Result<Json> guest = AskGuest(arguments.QmpPath(), "query-haven");
    no_guest = guest.status();
    if (guest.ok() && IsDeviceModels(guest.value())) {
      HAVEN_RETURN_IF_ERROR(
          Confirm(arguments, what_it_does + " This host's copy: " + guest.value()["message"].String()));
      return AskGuest(arguments.QmpPath(), "haven-" + command).status();
    }
  }
  if (!std::filesystem::exists(arguments.ControlPath(), error)) {
    return Failed("neither a guest named " + arguments.guest + " that waits for a decision nor havend is found in " +
                  arguments.run_dir + (no_guest.ok() ? "" : " (" + no_guest.message() + ")") +
                  ": start the guest, which is then held, or havend");
  }
  auto request = [&](bool describe) {
    return Json::Object().Set("command", command).Set("guest", arguments.guest).Set("describe", describe);
  };
  Result<Json> described = AskHavend(arguments.ControlPath(), request(true));
  if (!described.ok()) return described.status();
  HAVEN_RETURN_IF_ERROR(Confirm(arguments, what_it_does + " This host's copy: " + described.value()["what"].String()));
  return AskHavend(arguments.ControlPath(), request(false)).status();
}

}  // namespace

Status Confirm(const Arguments& arguments, const std::string& what) {
  printf("%s\n", Printable(what).c_str());
  if (arguments.yes) return Status::Ok();
  printf("Type yes to go on: ");
  fflush(stdout);
  std::string answer;
  if (std::getline(std::cin, answer) && answer == "yes") return Status::Ok();
  printf("\n");
  return Failed("not confirmed, and nothing was changed (--yes leaves the question out)");
}

Status Discard(const Arguments& arguments) {
  HAVEN_RETURN_IF_ERROR(Decide(arguments, "This throws away what this host has of guest " + arguments.guest + "."));
  printf("%s: the copy on this host is discarded; its disks here may be overwritten\n", arguments.guest.c_str());
  return Status::Ok();
}

Status Adopt(const Arguments& arguments) {
  HAVEN_RETURN_IF_ERROR(Decide(
      arguments, "On the host that runs guest " + arguments.guest +
                     ", this says that its copy counts, and starts it; on the backup, that the next primary is right, "
                     "and may overwrite what the backup has."));
  printf("%s: adopted\n", arguments.guest.c_str());
  return Status::Ok();
}

}  // namespace haven::cli
