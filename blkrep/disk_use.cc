// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/disk_use.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>

#include "blkrep/disk_content.h"
#include "blkrep/kernel_use.h"
#include "blkrep/open_disk.h"
#include "blkrep/open_files.h"
#include "core/threads.h"

namespace haven::blkrep {
namespace {

/// What passes by itself: a child that was forked and has not come to its program
/// yet has all our descriptors, also those that we have closed since; and what a
/// process that was killed had under way is closed a little after its end.
constexpr std::chrono::milliseconds kRetry{50};
constexpr int kRetries = 20;

enum class Answer { kFree, kTaken, kUnknown };

/// File systems of the network grant leases by what their server delegates, which
/// says nothing about others.
bool LeasesTell(int fd) {
  struct statfs fs;
  if (fstatfs(fd, &fs) != 0) return false;
  const auto type = static_cast<uint32_t>(fs.f_type);
  return type != NFS_SUPER_MAGIC && type != CIFS_SUPER_MAGIC && type != SMB2_SUPER_MAGIC;
}

/// The kernel gives a lease for writing only on a file that is open nowhere else.
Answer AskByLease(int fd) {
  if (!LeasesTell(fd)) return Answer::kUnknown;
  // Who opens the file while we have the lease waits until it is given back, and we
  // are sent a signal: not SIGIO, which would end this process.
  if (fcntl(fd, F_SETSIG, SIGURG) != 0) return Answer::kUnknown;
  if (fcntl(fd, F_SETLEASE, F_WRLCK) != 0) return errno == EAGAIN ? Answer::kTaken : Answer::kUnknown;
  return fcntl(fd, F_SETLEASE, F_UNLCK) == 0 ? Answer::kFree : Answer::kUnknown;
}

/// The kernel lets one at a time have a device for itself, file systems included.
Answer AskByClaim(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return errno == EBUSY ? Answer::kTaken : Answer::kUnknown;
  close(fd);
  return Answer::kFree;
}

DiskUse Describe(const Opener& opener) {
  if (opener.is_self) return {"is open in this process already", "let no two disks have the same replica"};
  return {"is open in process " + std::to_string(opener.pid) + " (" + opener.program + ")", "end that process"};
}

DiskUse Unseen() {
  return {"is in use where it cannot be seen from here (a container, a server in the kernel)",
          "find who mounts or opens it, and end that"};
}

std::optional<DiskUse> FindUse(const OpenedDisk& disk, const std::string& path) {
  if (auto use = FindKernelUse(disk.st(), path)) return use;
  for (int attempt = 0;; attempt++) {
    const Answer answer = disk.device() ? AskByClaim(path) : AskByLease(disk.fd());
    if (answer == Answer::kFree && !disk.device()) return {};
    // Who has a device open without a claim is found by looking only.
    // This process's other descriptors matter where one of them has the claim.
    const auto opener = FindOpener(disk.st(), !disk.device() || answer == Answer::kTaken, disk.fd());
    if (!opener && answer != Answer::kTaken) return {};
    const bool passes = !opener || opener->is_starting;
    if (!passes || attempt >= kRetries) return opener ? Describe(*opener) : Unseen();
    SleepFor(kRetry);
  }
}

}  // namespace

Status RefuseIfInUse(const std::string& path) {
  std::optional<DiskUse> use;
  {
    auto disk = OpenDisk(path, O_RDONLY);
    if (!disk.ok()) return disk.status();
    use = FindUse(disk.value(), path);
  }
  if (!use) return Status::Ok();
  const auto content = InspectContent(path);
  return {StatusCode::kRefused, path + " (" + (content.ok() ? content.value().what : "unreadable") + ") " + use->how +
                                    ": " + use->remedy + ", or name another disk"};
}

}  // namespace haven::blkrep
