/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <cstdio>

#include "cli/commands.h"
#include "cli/guest_query.h"

namespace haven::cli {

using qmp::Json;

namespace {

Status FailoverCold(const Arguments& arguments) {
  auto request = [&](bool describe) {
    Json json = Json::Object().Set("command", "failover").Set("guest", arguments.guest).Set("cold", true);
    return json.Set("force", arguments.force).Set("describe", describe);
  };
  Result<Json> described = AskHavend(arguments.ControlPath(), request(true));
  if (!described.ok()) return described.status();
  HAVEN_RETURN_IF_ERROR(Confirm(arguments, arguments.guest + ": " + described.value()["what"].String() + "."));
  Result<Json> answer = AskHavend(arguments.ControlPath(), request(false));
  if (answer.ok()) printf("%s boots here, from its replicas\n", arguments.guest.c_str());
  return answer.status();
}

}  // namespace

Status Failover(const Arguments& arguments) {
  if (arguments.cold) return FailoverCold(arguments);
  const char* command = arguments.planned ? "handover" : "failover";
  Json request = Json::Object().Set("command", command).Set("guest", arguments.guest);
  if (!arguments.planned) request.Set("force", arguments.force);
  Result<Json> answer = AskHavend(arguments.ControlPath(), request);
  if (!answer.ok()) return answer.status();
  printf("%s runs here, from its checkpoint %lld: failover_ms %lld\n", arguments.guest.c_str(),
         static_cast<long long>(answer.value()["promoted_epoch"].Int()),
         static_cast<long long>(answer.value()["failover_ms"].Int()));
  return Status::Ok();
}

}  // namespace haven::cli
