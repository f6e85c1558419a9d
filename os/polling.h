/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_OS_POLLING_H
#define HAVEN_OS_POLLING_H

#include <poll.h>

#include "core/clock.h"

namespace haven::os {

/// As poll(), which a signal does not end: then the whole timeout begins anew.
int Poll(pollfd* fds, nfds_t count, int timeout_ms);

/// What poll() gets as its timeout to wait until then: 0 when it has passed, an hour at most.
int PollTimeout(Instant deadline);

}  // namespace haven::os

#endif
