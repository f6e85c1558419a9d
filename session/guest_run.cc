// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/guest_run.h"

#include "core/assert.h"

namespace haven::session {

using wire::GuestRun;

const char* GuestRunName(GuestRun run) {
  switch (run) {
    case GuestRun::kUnknown: return "unknown";
    case GuestRun::kRunning: return "running";
    case GuestRun::kPaused: return "paused";
    case GuestRun::kIoError: return "io-error";
    case GuestRun::kPanicked: return "panicked";
    case GuestRun::kWatchdog: return "watchdog";
    case GuestRun::kOther: return "other";
  }
  HAVEN_ASSERT(false);
}

std::string DescribeRun(GuestRun run) {
  switch (run) {
    case GuestRun::kUnknown:
    case GuestRun::kRunning: return "";
    case GuestRun::kPaused: return "the guest is paused by an administrator";
    case GuestRun::kIoError: return "the guest has stopped on an error of its disk";
    case GuestRun::kPanicked: return "the guest's kernel has panicked";
    case GuestRun::kWatchdog: return "the guest was stopped by its watchdog";
    case GuestRun::kOther: return "the guest does not run";
  }
  HAVEN_ASSERT(false);
}

std::string DescribeLeft(GuestRun run) {
  const auto why = [run] {
    switch (run) {
      case GuestRun::kPaused: return "an administrator had paused it";
      case GuestRun::kIoError: return "an error of its disk there had stopped it";
      case GuestRun::kPanicked: return "its kernel had panicked";
      case GuestRun::kWatchdog: return "its watchdog had stopped it";
      case GuestRun::kUnknown:
      case GuestRun::kRunning:
      case GuestRun::kOther: break;
    }
    return "it did not run there";
  };
  return "the guest was left as its primary had it (" + std::string(GuestRunName(run)) + "): " + why() +
         "; it goes on by cont at its monitor";
}

}  // namespace haven::session
