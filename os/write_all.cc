// SPDX-License-Identifier: GPL-2.0-or-later
#include "os/write_all.h"

#include <algorithm>
#include <cerrno>

#include "os/files.h"

namespace haven::os {
namespace {

/// `write_some` writes a beginning of the two, which move on, as write() does. @return 0 or errno.
template <typename WriteSome>
int Repeat(WriteSome write_some, ByteSpan& first, ByteSpan& second) {
  while (!first.empty() || !second.empty()) {
    const ssize_t n = write_some();
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n < 0 ? errno : ENOSPC;
    const size_t of_first = std::min<size_t>(static_cast<size_t>(n), first.size());
    first = first.subspan(of_first);
    second = second.subspan(static_cast<size_t>(n) - of_first);
  }
  return 0;
}

}  // namespace

int WriteAll(int fd, ByteSpan data) {
  ByteSpan none;
  return Repeat(
      [&] {
        const iovec part{const_cast<uint8_t*>(data.data()), data.size()};
        return Files::Here().Write(fd, &part, 1, -1);
      },
      data, none);
}

int WriteAllAt(int fd, ByteSpan& data, uint64_t at) {
  ByteSpan none;
  const uint64_t end = at + data.size();
  return Repeat(
      [&] {
        const iovec part{const_cast<uint8_t*>(data.data()), data.size()};
        return Files::Here().Write(fd, &part, 1, static_cast<off_t>(end - data.size()));
      },
      data, none);
}

int WriteAllAt(int fd, ByteSpan first, ByteSpan second, uint64_t at) {
  const uint64_t end = at + first.size() + second.size();
  return Repeat(
      [&] {
        iovec parts[2] = {{const_cast<uint8_t*>(first.data()), first.size()},
                          {const_cast<uint8_t*>(second.data()), second.size()}};
        return Files::Here().Write(fd, parts, second.empty() ? 1 : 2,
                                   static_cast<off_t>(end - first.size() - second.size()));
      },
      first, second);
}

}  // namespace haven::os
