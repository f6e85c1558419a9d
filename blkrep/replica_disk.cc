// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/replica_disk.h"

#include <fcntl.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "blkrep/disk_use.h"
#include "blkrep/image_lock.h"
#include "os/files.h"
#include "os/sync_folder.h"

namespace haven::blkrep {
namespace {

Status MakeFile(const std::string& path) {
  std::string folder = std::filesystem::path(path).parent_path().string();
  if (folder.empty()) folder = ".";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return Status::FromErrno(error.value(), "cannot create the folder " + folder);
  // A link to what is not there stays one: its target may only not be mounted yet.
  const int fd = os::Files::Here().Open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return Status::FromErrno(errno, "cannot create it");
  os::Files::Here().Close(fd);
  return os::SyncFolderOf(path);
}

Status MakeIfAllowed(const std::string& path, uint64_t bytes, bool create) {
  struct stat st;
  if (stat(path.c_str(), &st) == 0) return Status::Ok();
  if (errno != ENOENT) return Status::FromErrno(errno, "cannot examine the replica " + path);
  if (create) return MakeFile(path).With("the replica " + path);
  return {StatusCode::kRefused, "the replica " + path + " does not exist: make it as large as the disk (truncate -s " +
                                    std::to_string(bytes) + " " + path +
                                    "), or write create = yes for this guest in havend's configuration"};
}

Status CheckDevice(uint64_t has, uint64_t wanted) {
  if (has >= wanted) return Status::Ok();
  return {StatusCode::kInvalid, "the device has " + std::to_string(has) + " octets, the guest's disk " +
                                    std::to_string(wanted) + ": configure a larger one"};
}

Status SizeFile(int fd, const std::string& path, uint64_t has, uint64_t wanted, const ReplicaOptions& options) {
  if (has == wanted || (options.longer && has > wanted)) return Status::Ok();
  if (!options.resize && !(options.create && has == 0)) {
    return {StatusCode::kRefused, "the file has " + std::to_string(has) + " octets, the guest's disk " +
                                      std::to_string(wanted) + ": configure another path, or, if nothing " +
                                      "else is in it, give it that size (truncate -s " + std::to_string(wanted) + " " +
                                      path + ")"};
  }
  if (wanted > INT64_MAX || os::Files::Here().Truncate(fd, static_cast<off_t>(wanted)) != 0) {
    return Status::FromErrno(wanted > INT64_MAX ? EFBIG : errno,
                             "cannot make it " + std::to_string(wanted) + " octets long");
  }
  // The length is part of the disk: it must not be younger than its content.
  if (os::Files::Here().Sync(fd) != 0) return Status::FromErrno(errno, "cannot sync it");
  return Status::Ok();
}

/// Of a device, the claim: a file system that is mounted later cannot have it.
Result<OpenedDisk> OpenFree(const std::string& path) {
  HAVEN_RETURN_IF_ERROR(RefuseIfInUse(path));
  struct stat st;
  if (stat(path.c_str(), &st) != 0) return Status::FromErrno(errno, "cannot examine the replica " + path);
  auto disk = OpenDisk(path, S_ISBLK(st.st_mode) ? O_RDWR | O_EXCL : O_RDWR);
  if (!disk.ok()) return disk;
  HAVEN_RETURN_IF_ERROR(ImageLock::Take(disk.value().fd(), path));
  return disk;
}

Status MakeFit(const OpenedDisk& disk, const std::string& path, uint64_t bytes, const ReplicaOptions& options) {
  const auto has = disk.Bytes();
  if (!has.ok()) return has.status();
  return disk.device() ? CheckDevice(has.value(), bytes) : SizeFile(disk.fd(), path, has.value(), bytes, options);
}

}  // namespace

Result<OpenedDisk> OpenReplicaDisk(const std::string& path, uint64_t bytes, const ReplicaOptions& options) {
  HAVEN_RETURN_IF_ERROR(MakeIfAllowed(path, bytes, options.create));
  auto disk = OpenFree(path);
  if (!disk.ok()) return disk;
  const Status fits = MakeFit(disk.value(), path, bytes, options);
  if (!fits.ok()) return fits.With("the replica " + path);
  return disk;
}

}  // namespace haven::blkrep
