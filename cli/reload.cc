// SPDX-License-Identifier: GPL-2.0-or-later
#include <cstdio>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/guest_query.h"

namespace haven::cli {

using qmp::Json;

Status Reload(const Arguments& arguments) {
  Result<Json> answer = AskHavend(arguments.ControlPath(), Json::Object().Set("command", "reload"));
  if (!answer.ok()) return answer.status();
  const auto done = answer.value()["done"].Elements(), not_done = answer.value()["not_done"].Elements();
  for (const Json& one : done) printf("%s\n", Printable(one.String()).c_str());
  for (const Json& one : not_done) printf("%s\n", Printable(one.String()).c_str());
  if (!not_done.empty()) return Status(StatusCode::kRefused, "not all of the configuration is in effect");
  if (done.empty()) printf("nothing has changed\n");
  return Status::Ok();
}

}  // namespace haven::cli
