/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <cstdio>
#include <thread>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/guest_query.h"
#include "core/clock.h"

namespace haven::cli {
namespace {

constexpr milliseconds kPoll{20};
constexpr milliseconds kQuiet{500};  ///< a backup that answers has done so by then

}  // namespace

Status Unprotect(const Arguments& arguments) {
  HAVEN_RETURN_IF_ERROR(AskGuest(arguments.QmpPath(), "haven-stop").status());
  const Instant begun = SteadyClock::now();
  std::string said;
  while (true) {
    auto status = AskGuest(arguments.QmpPath(), "query-haven");
    if (!status.ok()) return status.status();
    const std::string state = status.value()["state"].String();
    const std::string message = Printable(status.value()["message"].String());
    if (state == "lost") return {StatusCode::kRefused, arguments.guest + " is halted here: " + message};
    if (state == "stopped") break;
    const std::string line = message.empty() ? "protection ends" : message;
    if (SteadyClock::now() - begun >= kQuiet && line != said) {
      printf("%s: %s\n", arguments.guest.c_str(), line.c_str());
      fflush(stdout);
      said = line;
    }
    std::this_thread::sleep_for(kPoll);
  }
  printf("%s is not protected any more\n", arguments.guest.c_str());
  return Status::Ok();
}

}  // namespace haven::cli
