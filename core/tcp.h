/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CORE_TCP_H
#define HAVEN_CORE_TCP_H

#include "core/transport.h"

namespace haven {

/// Over a connected stream socket, which it takes over. @param clock  outlives it.
std::unique_ptr<Transport> TransportOver(int fd, Clock& clock);

/// Connects over TCP; lives for ever.
Dialer& TcpDialer();

}  // namespace haven

#endif
