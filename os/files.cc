// SPDX-License-Identifier: GPL-2.0-or-later
#include "os/files.h"

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdio>

namespace haven::os {
namespace {

constinit thread_local Files* g_here = nullptr;

}  // namespace

Files& Files::Here() {
  static Files system;
  return g_here != nullptr ? *g_here : system;
}

void Files::SetHere(Files* files) { g_here = files; }

int Files::Open(const char* path, int flags, mode_t mode) { return open(path, flags, mode); }
int Files::Close(int fd) { return close(fd); }
ssize_t Files::Write(int fd, const iovec* parts, int count, off_t at) {
  return at < 0 ? writev(fd, parts, count) : pwritev(fd, parts, count, at);
}
int Files::Sync(int fd) { return fsync(fd); }
int Files::SyncData(int fd) { return fdatasync(fd); }
int Files::Truncate(int fd, off_t bytes) { return ftruncate(fd, bytes); }
int Files::Allocate(int fd, int mode, off_t at, off_t bytes) { return fallocate(fd, mode, at, bytes); }
int Files::SetAttribute(int fd, const char* name, const void* value, size_t bytes) {
  return fsetxattr(fd, name, value, bytes, 0);
}
int Files::Rename(const char* from, const char* to) { return rename(from, to); }
int Files::Unlink(const char* path) { return unlink(path); }

}  // namespace haven::os
