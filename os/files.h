/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_OS_FILES_H
#define HAVEN_OS_FILES_H

#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>

namespace haven::os {

/// What changes files that have to survive a crash, as the system does it: each method is the call of its name,
/// with its result and errno. Tests put something else in its place, which can fail, or forget at a crash what
/// was not synced. Reading is the system's.
class Files {
 public:
  virtual ~Files() = default;
  virtual int Open(const char* path, int flags, mode_t mode = 0);
  virtual int Close(int fd);
  /// pwritev(); `at` negative: writev().
  virtual ssize_t Write(int fd, const iovec* parts, int count, off_t at);
  virtual int Sync(int fd);
  virtual int SyncData(int fd);
  virtual int Truncate(int fd, off_t bytes);
  virtual int Allocate(int fd, int mode, off_t at, off_t bytes);
  virtual int SetAttribute(int fd, const char* name, const void* value, size_t bytes);
  virtual int Rename(const char* from, const char* to);
  virtual int Unlink(const char* path);

  /// Those of the calling thread.
  static Files& Here();

 protected:
  /// For the calling thread, from here on. @param files  outlives it; nullptr: the system's.
  static void SetHere(Files* files);
};

}  // namespace haven::os

#endif
