/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/guest_query.h"

namespace haven::cli {

namespace {

using qmp::Json;

std::vector<std::string> NamesOfSockets(const std::string& run_dir) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(run_dir, error)) {
    if (entry.path().extension() == ".qmp") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// A guest whose device model is there, but cannot say how it is.
Json UnknownPrimary(const std::string& name, const std::string& message) {
  return Json::Object().Set("name", name).Set("role", "primary").Set("state", "unknown").Set("message", message);
}

/// @return false: nobody is behind the socket; it is a left-over.
bool AddPrimary(const std::string& name, const std::string& path, std::vector<Json>& primaries, Status& why_not) {
  Result<Json> answer = AskGuest(path, "query-haven");
  why_not = answer.status();
  if (answer.ok()) {
    primaries.push_back(FlattenPrimaryStatus(name, answer.value()));
  } else if (answer.status().code() == StatusCode::kEnvironment) {
    return false;
  } else {
    primaries.push_back(UnknownPrimary(name, answer.status().message()));
  }
  return true;
}

/// @return null: there is none, or it does not answer.
Json QueryHavend(const Arguments& arguments) {
  std::error_code error;
  if (!std::filesystem::exists(arguments.ControlPath(), error)) return {};
  Result<Json> answer = AskHavend(arguments.ControlPath(), Json::Object().Set("command", "status"));
  if (!answer.ok()) {
    fprintf(stderr, "haven: %s\n", answer.status().message().c_str());
    return {};
  }
  return answer.value();
}

/// The device model of such a backup only waits: it has nothing to say, and its
/// monitor is left to those who need it.
bool OnlyWaits(const std::vector<Json>& backups, const std::string& name) {
  return std::any_of(backups.begin(), backups.end(), [&name](const Json& backup) {
    const std::string state = backup["state"].String();
    return backup["name"].String() == name && (state == "syncing" || state == "verifying" || state == "protecting" ||
                                               state == "stuck" || state == "primary-lost" || state == "promoting");
  });
}

/// @param havend  of itself; null: it did not say.
/// @param one  a person asked for this guest: all that is known of it.
void Print(const std::vector<Json>& guests, const Json& havend, bool as_json, bool one) {
  if (as_json) {
    Json list = Json::Array();
    for (const Json& guest : guests) list.Append(guest);
    Json all = Json::Object().Set("guests", list);
    if (!havend.IsNull()) all.Set("havend", havend);
    printf("%s\n", all.ToString().c_str());
  } else if (guests.empty()) {
    printf("No guests.\n");
  } else {
    fputs(FormatGuests(guests).c_str(), stdout);
    for (const Json& guest : guests) {
      if (one)
        fputs((FormatNewer(guest) + FormatMode(guest) + FormatLimits(guest) + FormatLastEpoch(guest)).c_str(), stdout);
    }
    if (!one) fputs(FormatHavend(havend).c_str(), stdout);
  }
}

}  // namespace

Status ShowStatus(const Arguments& arguments) {
  std::vector<Json> primaries;
  Status why_not;
  if (!arguments.qmp.empty()) {
    std::string name = arguments.guest.empty() ? arguments.qmp : arguments.guest;
    if (!AddPrimary(name, arguments.qmp, primaries, why_not)) return why_not;
    Print(primaries, Json(), arguments.json, true);
    return Status::Ok();
  }
  const Json havend = QueryHavend(arguments);
  std::vector<Json> backups = havend["guests"].Elements();
  for (const std::string& name : NamesOfSockets(arguments.run_dir)) {
    if (!arguments.guest.empty() && name != arguments.guest) continue;
    if (OnlyWaits(backups, name)) continue;
    AddPrimary(name, arguments.run_dir + "/" + name + ".qmp", primaries, why_not);
  }
  if (!arguments.guest.empty()) {
    std::erase_if(backups, [&](const Json& guest) { return guest["name"].String() != arguments.guest; });
  }
  std::vector<Json> guests = MergeGuests(primaries, backups);
  if (guests.empty() && !arguments.guest.empty()) {
    std::string message = "no guest " + arguments.guest + " is known in " + arguments.run_dir;
    if (!why_not.ok()) message += " (" + why_not.message() + ")";
    return Status(StatusCode::kEnvironment, message);
  }
  Print(guests, havend["havend"], arguments.json, !arguments.guest.empty());
  return Status::Ok();
}

}  // namespace haven::cli
