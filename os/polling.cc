// SPDX-License-Identifier: GPL-2.0-or-later
#include "os/polling.h"

#include <algorithm>
#include <cerrno>

namespace haven::os {

int Poll(pollfd* fds, nfds_t count, int timeout_ms) {
  int ready;
  do {
    ready = poll(fds, count, timeout_ms);
  } while (ready < 0 && errno == EINTR);
  return ready;
}

int PollTimeout(Instant deadline) {
  auto left = std::chrono::ceil<milliseconds>(deadline - SteadyClock::now()).count();
  return left < 0 ? 0 : static_cast<int>(std::min<int64_t>(left, 3600 * 1000));
}

}  // namespace haven::os
