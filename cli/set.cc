/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <cstdio>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/guest_query.h"

namespace haven::cli {

Status SetMode(const Arguments& arguments) {
  qmp::Json settings = qmp::Json::Object();
  arguments.mode.AddTo(settings);
  HAVEN_RETURN_IF_ERROR(AskGuest(arguments.QmpPath(), "haven-set", settings).status());
  auto now = AskGuest(arguments.QmpPath(), "query-haven");
  if (!now.ok()) return now.status();
  printf("%s: %s", arguments.guest.c_str(), FormatMode(FlattenPrimaryStatus(arguments.guest, now.value())).c_str());
  return Status::Ok();
}

}  // namespace haven::cli
