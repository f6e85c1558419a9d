// SPDX-License-Identifier: GPL-2.0-or-later
#include "os/interrupt.h"

#include <cstdint>
#include <sys/eventfd.h>
#include <unistd.h>

namespace haven::os {

Interrupt::Interrupt() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Interrupt::~Interrupt() {
  if (fd_ >= 0) close(fd_);
}

void Interrupt::Raise() {
  uint64_t one = 1;
  [[maybe_unused]] ssize_t written = write(fd_, &one, sizeof(one));
}

void Interrupt::Lower() {
  uint64_t value;
  [[maybe_unused]] ssize_t got = read(fd_, &value, sizeof(value));
}

}  // namespace haven::os
