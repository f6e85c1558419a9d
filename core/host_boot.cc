// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/host_boot.h"

#include <fstream>

#include "core/random_token.h"
#include "core/scheduler.h"

namespace haven {
namespace {

constexpr char kPath[] = "/proc/sys/kernel/random/boot_id";

}  // namespace

std::string BootId() {
  if (Scheduler* scheduler = Scheduler::Current()) return scheduler->BootId();
  std::string id;
  std::getline(std::ifstream(kPath), id);
  return id;
}

Result<wire::Token> HostToken() {
  std::string digits = BootId();
  std::erase(digits, '-');
  if (const auto token = TokenFromHex(digits)) return *token;
  return Status(StatusCode::kEnvironment, std::string("cannot read ") + kPath);
}

}  // namespace haven
