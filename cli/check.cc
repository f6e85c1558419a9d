/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <cstdio>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/guest_query.h"

namespace haven::cli {

Status Check(const Arguments& arguments) {
  auto answer = AskGuest(arguments.QmpPath(), "query-haven-check");
  if (!answer.ok()) return answer.status();
  if (arguments.json) {
    printf("%s\n", answer.value().ToString().c_str());
  } else {
    fputs(FormatDevices(answer.value()["devices"]).c_str(), stdout);
  }
  const std::string refused = answer.value()["refused"].String();
  if (!refused.empty()) return {StatusCode::kRefused, "guest " + arguments.guest + " cannot be protected: " + refused};
  return Status::Ok();
}

}  // namespace haven::cli
