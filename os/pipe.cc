// SPDX-License-Identifier: GPL-2.0-or-later
#include "os/pipe.h"

#include <fcntl.h>
#include <unistd.h>

namespace haven::os {

Pipe::Pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return;
  read_end_ = ends[0];
  write_end_ = ends[1];
}

Pipe::~Pipe() {
  CloseRead();
  CloseWrite();
}

void Pipe::Close(int& end) {
  if (end >= 0) close(end);
  end = -1;
}

}  // namespace haven::os
