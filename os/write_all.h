/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_OS_WRITE_ALL_H
#define HAVEN_OS_WRITE_ALL_H

#include <cstdint>

#include "core/bytes.h"

namespace haven::os {

/// Writes at the file's position until all is written. @return 0 or errno; ENOSPC when nothing more is taken.
int WriteAll(int fd, ByteSpan data);

/// The same at octet `at` of the file. @param data  afterwards what was not written.
int WriteAllAt(int fd, ByteSpan& data, uint64_t at);

/// The same for two parts, one behind the other.
int WriteAllAt(int fd, ByteSpan first, ByteSpan second, uint64_t at);

}  // namespace haven::os

#endif
