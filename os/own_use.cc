// SPDX-License-Identifier: GPL-2.0-or-later
#include "os/own_use.h"

#include <algorithm>
#include <filesystem>
#include <sys/resource.h>

#include "os/kernel_files.h"

namespace haven::os {
namespace {

uint64_t CountEntries(const std::string& folder) {
  std::error_code error;
  uint64_t count = 0;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) count++;
  return count;
}

uint64_t ThreadsLimit(const std::string& root) {
  uint64_t limit = ToNumber(FirstWord(root + "/proc/sys/kernel/threads-max")).value_or(UINT64_MAX);
  for (const std::string& group : ControlGroups(root)) {
    const auto most = ToNumber(FirstWord(ControlGroupFolder(root, group) + "/pids.max"));
    limit = std::min(limit, most.value_or(limit));
  }
  return limit == UINT64_MAX ? 0 : limit;
}

}  // namespace

OwnUse CountOwnUse(const std::string& root) {
  OwnUse use;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) use.descriptors_limit = limit.rlim_cur;
  const uint64_t open = CountEntries(root + "/proc/self/fd");
  use.descriptors = open - std::min<uint64_t>(open, 1);  // one of them has counted
  use.threads = CountEntries(root + "/proc/self/task");
  use.threads_limit = ThreadsLimit(root);
  return use;
}

}  // namespace haven::os
