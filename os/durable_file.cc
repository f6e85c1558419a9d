// SPDX-License-Identifier: GPL-2.0-or-later
#include "os/durable_file.h"

#include <fcntl.h>

#include <cerrno>

#include "os/files.h"
#include "os/sync_folder.h"
#include "os/write_all.h"

namespace haven::os {
namespace {

/// @return 0 or errno.
int WriteAndSync(int fd, ByteSpan content) {
  if (int error = WriteAll(fd, content); error != 0) return error;
  return Files::Here().Sync(fd) == 0 ? 0 : errno;
}

}  // namespace

Status ReplaceFileDurably(const std::string& path, ByteSpan content) {
  const std::string fresh = path + ".new";
  Files& files = Files::Here();
  const int fd = files.Open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return Status::FromErrno(errno, "cannot write " + fresh);
  int error = WriteAndSync(fd, content);
  if (files.Close(fd) != 0 && error == 0) error = errno;
  if (error == 0 && files.Rename(fresh.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    files.Unlink(fresh.c_str());
    return Status::FromErrno(error, "cannot write " + path);
  }
  return SyncFolderOf(path);
}

}  // namespace haven::os
