/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/guest_query.h"

#include <algorithm>

#include "qmp/client.h"

namespace haven::cli {

namespace {

using qmp::Json;

constexpr milliseconds kGreetingTimeout{5000};
/// haven-start and -stop wait for disks to be idle.
constexpr milliseconds kAnswerTimeout{30000};
/// A failover loads a whole guest.
constexpr milliseconds kHavendTimeout{120000};

std::string WithUnderscores(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

}  // namespace

Result<Json> AskGuest(const std::string& qmp_path, const std::string& command, const Json& arguments) {
  auto client = qmp::Client::Connect(qmp_path, kGreetingTimeout);
  if (!client.ok()) {
    if (client.status().code() != StatusCode::kPeerLost) return client.status();
    return client.status().With(qmp_path + " (is another program connected to it?)");
  }
  Result<Json> answer = client.value()->Execute(command, arguments, kAnswerTimeout);
  if (!answer.ok() && client.value()->error_class() == "CommandNotFound") {
    if (client.value()->Execute("query-haven", Json::Object(), kAnswerTimeout).ok()) {
      return Status(StatusCode::kRefused, "the device model behind " + qmp_path +
                                              " is older than this program and does not know " + command +
                                              ": restart the guest with the present qemu-dm");
    }
    return Status(StatusCode::kRefused,
                  "the device model behind " + qmp_path + " has no HAVEN in it: run the guest with HAVEN's qemu-dm");
  }
  return answer;
}

Json FlattenPrimaryStatus(const std::string& name, const Json& answer) {
  Json result = Json::Object().Set("name", name).Set("role", "primary").Set("message", "");
  for (const std::string& member : answer.Members()) {
    const Json value = answer[member.c_str()];
    if (!value.IsObject()) {
      result.Set(WithUnderscores(member), value);
      continue;
    }
    for (const std::string& part : value.Members()) {
      result.Set(WithUnderscores(part + "-" + member), value[part.c_str()]);
    }
  }
  return result;
}

Result<Json> AskHavend(const std::string& control_path, const Json& request) {
  Result<qmp::LineSocket> socket = qmp::LineSocket::Connect(control_path);
  if (!socket.ok()) return socket.status().With("havend does not answer");
  HAVEN_RETURN_IF_ERROR(socket.value().Write(request.ToString()));
  Result<std::string> line = socket.value().Read(kHavendTimeout);
  if (!line.ok()) return line.status().With("havend");
  Result<Json> answer = Json::Parse(line.value());
  if (!answer.ok()) return answer.status().With("havend's answer");
  if (!answer.value()["ok"].Bool()) {
    return Status(StatusCode::kRefused, answer.value()["error"].String("havend refused without a reason"));
  }
  return answer;
}

std::vector<Json> MergeGuests(const std::vector<Json>& primaries, std::vector<Json> backups) {
  std::vector<Json> all;
  for (const Json& primary : primaries) {
    const auto backup = std::find_if(backups.begin(), backups.end(), [&primary](const Json& candidate) {
      return candidate["name"].String() == primary["name"].String();
    });
    const std::string state = primary["state"].String();
    if (backup == backups.end() || (state != "stopped" && state != "unknown")) {
      all.push_back(primary);
    } else if (primary.Has("run_state") && (*backup)["state"].String() == "promoted") {
      backup->Set("run_state", primary["run_state"]);
    }
  }
  all.insert(all.end(), backups.begin(), backups.end());
  std::stable_sort(all.begin(), all.end(),
                   [](const Json& a, const Json& b) { return a["name"].String() < b["name"].String(); });
  return all;
}

}  // namespace haven::cli
