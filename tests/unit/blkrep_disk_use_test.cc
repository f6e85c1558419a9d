// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/disk_use.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "blkrep/open_files.h"
#include "tests/unit/blkrep_loop_device.h"
#include "tests/unit/blkrep_support.h"
#include "tests/unit/core_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::blkrep;
using namespace haven::blkrep::test;

namespace {

/// A `cat` that has a file open until its end.
class OtherProcess {
 public:
  OtherProcess(const std::string& path, int flags) {
    int words[2];
    if (pipe2(words, O_CLOEXEC) != 0) abort();
    const int fd = open(path.c_str(), flags | O_CLOEXEC);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(words[0], STDIN_FILENO);
      dup2(fd, 9);
      execlp("cat", "cat", nullptr);
      _exit(127);
    }
    close(fd);
    close(words[0]);
    // Until it runs its program it is this process's.
    while (Name() != "cat\n" && waitpid(pid_, nullptr, WNOHANG) == 0) sched_yield();
    words_ = words[1];
  }
  ~OtherProcess() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    close(words_);
  }
  OtherProcess(const OtherProcess&) = delete;
  OtherProcess& operator=(const OtherProcess&) = delete;

  std::string name() const { return "process " + std::to_string(pid_) + " (cat)"; }

 private:
  std::string Name() const {
    const Bytes name = ReadFile("/proc/" + std::to_string(pid_) + "/comm");
    return {name.begin(), name.end()};
  }

  pid_t pid_ = -1;
  int words_ = -1;
};

/// A file system that is made on a device and mounted, until the end of the object.
class MountedExt4 {
 public:
  MountedExt4(const std::string& device, const std::string& place) : place_(place) {
    const std::string make = "mkfs.ext4 -q -F -L data " + device + " >/dev/null 2>&1";
    std::filesystem::create_directory(place);
    ok_ = system(make.c_str()) == 0 && mount(device.c_str(), place.c_str(), "ext4", MS_RDONLY, nullptr) == 0;
    if (!ok_) UT_PRINT("skipped: ext4 cannot be made or mounted");
  }
  ~MountedExt4() {
    if (ok_) umount2(place_.c_str(), MNT_DETACH);
  }
  MountedExt4(const MountedExt4&) = delete;
  MountedExt4& operator=(const MountedExt4&) = delete;
  bool ok() const { return ok_; }

 private:
  std::string place_;
  bool ok_ = false;
};

}  // namespace

TEST_GROUP(DiskUse) {
  TempFolder on_disk{false};
  TempFolder in_memory{true};
  std::string disk = on_disk.File("disk");

  void setup() override { WriteFile(disk, Bytes(8192)); }
  void CheckRefused(const std::string& path, const std::string& why) {
    const Status status = RefuseIfInUse(path);
    STRCMP_EQUAL((why + ", or name another disk").c_str(), status.message().c_str());
    CHECK(status.code() == StatusCode::kRefused);
  }
};

TEST(DiskUse, OfAFileThatNobodyHasOpenIsNone) {
  const std::string there = in_memory.File("disk");
  WriteFile(there, Bytes(8192));
  for (const std::string& path : {disk, there}) {
    HAVEN_CHECK_OK(RefuseIfInUse(path));
    // And it is given back.
    const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK);
    CHECK(fd >= 0);
    close(fd);
  }
}

TEST(DiskUse, IsAnotherProcessThatHasItOpenIfOnlyToRead) {
  for (int flags : {O_RDONLY, O_WRONLY, O_RDWR}) {
    OtherProcess other(disk, flags);
    CheckRefused(disk, disk + " (nothing (blank)) is open in " + other.name() + ": end that process");
  }
  HAVEN_CHECK_OK(RefuseIfInUse(disk));
}

TEST(DiskUse, IsFoundThroughLinks) {
  OtherProcess other(disk, O_RDONLY);
  const std::string soft = on_disk.File("soft"), hard = on_disk.File("hard");
  std::filesystem::create_symlink(disk, soft);
  std::filesystem::create_hard_link(disk, hard);
  for (const std::string& path : {soft, hard})
    CheckRefused(path, path + " (nothing (blank)) is open in " + other.name() + ": end that process");
}

TEST(DiskUse, IsThisProcessAsLongAsItHasItOpen) {
  const int fd = open(disk.c_str(), O_RDONLY | O_CLOEXEC);
  CheckRefused(disk, disk +
                         " (nothing (blank)) is open in this process already: let no two disks have the same "
                         "replica");
  close(fd);
  HAVEN_CHECK_OK(RefuseIfInUse(disk));
}

TEST(DiskUse, IsFoundAmongTheDescriptorsOfAllProcesses) {
  struct stat st;
  CHECK_EQUAL(0, stat(disk.c_str(), &st));
  CHECK_FALSE(FindOpener(st, true, -1).has_value());
  const int fd = open(disk.c_str(), O_RDONLY | O_CLOEXEC);
  CHECK_FALSE(FindOpener(st, true, fd).has_value());
  CHECK_FALSE(FindOpener(st, false, -1).has_value());
  auto opener = FindOpener(st, true, -1);
  CHECK(opener.has_value() && opener->is_self);
  // A child that has not begun its program.
  int ends[2];
  CHECK_EQUAL(0, pipe2(ends, O_CLOEXEC));
  const pid_t child = fork();
  if (child == 0) {
    char octet;
    close(ends[1]);
    _exit(read(ends[0], &octet, 1) == 0 ? 0 : 1);
  }
  close(fd);
  opener = FindOpener(st, true, -1);
  CHECK(opener.has_value());
  CHECK(opener->is_starting && !opener->is_self);
  CHECK_EQUAL(child, opener->pid);
  close(ends[0]);
  close(ends[1]);
  waitpid(child, nullptr, 0);
}

TEST(DiskUse, OfWhatIsNoDiskIsAnError) {
  CHECK(RefuseIfInUse("/dev/null").code() == StatusCode::kInvalid);
  CHECK(RefuseIfInUse(on_disk.File("missing")).code() == StatusCode::kEnvironment);
}

TEST_GROUP_BASE(DeviceUse, TEST_GROUP_CppUTestGroupDiskUse){void setup() override{WriteFile(disk, Bytes(4 << 20));
}
static bool SkippedWithout(const LoopDevice& device) {
  if (device.ok()) return false;
  UT_PRINT(("skipped: " + device.why_not()).c_str());
  return true;
}
}
;

TEST(DeviceUse, OfALoopDeviceThatNobodyUsesIsNoneAndOfItsFileIsTheDevice) {
  LoopDevice device(disk);
  if (SkippedWithout(device)) return;
  HAVEN_CHECK_OK(RefuseIfInUse(device.path()));
  CheckRefused(disk, disk + " (nothing (blank)) is the file of the loop device " + device.path() +
                         ": detach that (losetup -d " + device.path() + ")");
}

TEST(DeviceUse, IsAMountOfItOrOfALoopDeviceOnTheFile) {
  LoopDevice device(disk);
  if (SkippedWithout(device)) return;
  const std::string place = on_disk.File("mounted here");
  {
    MountedExt4 file_system(device.path(), place);
    if (!file_system.ok()) return;
    const std::string mounted = "is mounted on " + place + ": unmount it (umount " + place + ")";
    const std::string content = " (an ext4 file system (label data)) ";
    CheckRefused(device.path(), device.path() + content + mounted);
    CheckRefused(disk, disk + content + "is the file of " + device.path() + ", which " + mounted);
  }
  HAVEN_CHECK_OK(RefuseIfInUse(device.path()));
}

TEST(DeviceUse, IsSwap) {
  Bytes area(4 << 20);
  const std::string magic = "SWAPSPACE2";
  std::copy(magic.begin(), magic.end(), area.begin() + 4096 - 10);
  area[1024] = 1;        // version
  area[1024 + 4] = 255;  // last page
  area[1024 + 5] = 3;
  WriteFile(disk, area);
  LoopDevice device(disk);
  if (SkippedWithout(device)) return;
  if (swapon(device.path().c_str(), 0) != 0) {
    UT_PRINT("skipped: no swap");
    return;
  }
  const Status status = RefuseIfInUse(device.path());
  CHECK_EQUAL(0, swapoff(device.path().c_str()));
  STRCMP_EQUAL(
      (device.path() + " (a swap area) is used as swap: end that (swapoff " + device.path() + "), or name another disk")
          .c_str(),
      status.message().c_str());
}

TEST(DeviceUse, IsAProcessThatHasItOpenForWriting) {
  LoopDevice device(disk);
  if (SkippedWithout(device)) return;
  {
    OtherProcess other(device.path(), O_RDWR);
    CheckRefused(device.path(), device.path() + " (nothing (blank)) is open in " + other.name() + ": end that process");
  }
  OtherProcess reader(device.path(), O_RDONLY);
  HAVEN_CHECK_OK(RefuseIfInUse(device.path()));
}

TEST(DeviceUse, IsAClaimOfThisProcess) {
  LoopDevice device(disk);
  if (SkippedWithout(device)) return;
  const int claim = open(device.path().c_str(), O_RDWR | O_EXCL | O_CLOEXEC);
  CHECK(claim >= 0);
  CheckRefused(device.path(), device.path() +
                                  " (nothing (blank)) is open in this process already: let no two disks "
                                  "have the same replica");
  close(claim);
  HAVEN_CHECK_OK(RefuseIfInUse(device.path()));
}

TEST(DeviceUse, OfADiskIsThatOfAPartitionOfIt) {
  WriteFile(disk, PartitionTable(4 << 20));
  LoopDevice device(disk, true);
  if (SkippedWithout(device)) return;
  const std::string partition = on_disk.File("p1"), place = on_disk.File("place");
  if (!device.MakePartitionNode(partition)) {
    UT_PRINT("skipped: no partitions of loop devices, or no nodes");
    return;
  }
  {
    MountedExt4 file_system(partition, place);
    if (!file_system.ok()) return;
    const std::string mounted =
        "has a partition " + device.path() + "p1, which is mounted on " + place + ": unmount it (umount " + place + ")";
    CheckRefused(device.path(), device.path() + " (a dos partition table) " + mounted);
    CheckRefused(disk, disk + " (a dos partition table) is the file of " + device.path() + ", which " + mounted);
  }
  HAVEN_CHECK_OK(RefuseIfInUse(device.path()));
}
