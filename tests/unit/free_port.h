/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_UNIT_FREE_PORT_H
#define HAVEN_TESTS_UNIT_FREE_PORT_H

#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

#include "core/assert.h"

namespace haven::test {

/// A TCP port of 127.0.0.1 that nobody listens on.
inline std::string FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  HAVEN_ASSERT(bind(fd, reinterpret_cast<sockaddr*>(&address), length) == 0);
  HAVEN_ASSERT(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  close(fd);
  return std::to_string(ntohs(address.sin_port));
}

}  // namespace haven::test

#endif
