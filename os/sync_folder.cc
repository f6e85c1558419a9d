// SPDX-License-Identifier: GPL-2.0-or-later
#include "os/sync_folder.h"

#include <cerrno>
#include <fcntl.h>

#include "os/files.h"

namespace haven::os {

Status SyncFolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  Files& files = Files::Here();
  const int fd = files.Open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Status::FromErrno(errno, "cannot open the folder " + folder);
  // EINVAL: a file system without anything to sync for folders.
  const bool failed = files.Sync(fd) != 0 && errno != EINVAL;
  const int error = errno;
  files.Close(fd);
  return failed ? Status::FromErrno(error, "cannot sync the folder " + folder) : Status::Ok();
}

}  // namespace haven::os
