// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/open_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "blkrep/block_device.h"
#include "blkrep/printable.h"

namespace haven::blkrep {
namespace {

namespace fs = std::filesystem;

/// The value of "NAME:  VALUE" in a file of procfs; empty: there is no such line.
std::string FieldOf(const std::string& path, const std::string& name) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (line.rfind(name + ":", 0) != 0) continue;
    const size_t at = line.find_first_not_of(" \t", name.size() + 1);
    return at == std::string::npos ? "" : line.substr(at);
  }
  return "";
}

/// To examine somebody's descriptor may wait for a dead server of his: only what
/// may be the disk is.
bool MayBe(const struct stat& disk, const fs::path& process, const std::string& descriptor) {
  if (S_ISBLK(disk.st_mode)) {
    std::error_code error;
    return fs::read_symlink(process / "fd" / descriptor, error).string().rfind("/dev/", 0) == 0;
  }
  const std::string inode = FieldOf(process / "fdinfo" / descriptor, "ino");
  return inode.empty() || inode == std::to_string(disk.st_ino);  // Linux before 5.14 does not say
}

bool IsTheDisk(const struct stat& disk, const fs::path& process, const std::string& descriptor) {
  struct stat st;
  if (stat((process / "fd" / descriptor).c_str(), &st) != 0) return false;
  if (S_ISREG(disk.st_mode)) return st.st_dev == disk.st_dev && st.st_ino == disk.st_ino;
  if (!S_ISBLK(st.st_mode) || st.st_rdev != disk.st_rdev) return false;
  // Who only reads a device is most often one that looks what is new.
  const std::string flags = FieldOf(process / "fdinfo" / descriptor, "flags");
  return (strtoul(flags.c_str(), nullptr, 8) & O_ACCMODE) != O_RDONLY;
}

bool HasOpen(const struct stat& disk, const fs::path& process, int except) {
  std::error_code error;
  for (fs::directory_iterator it(process / "fd", error), end; !error && it != end; it.increment(error)) {
    const std::string descriptor = it->path().filename().string();
    if (descriptor == std::to_string(except)) continue;
    if (MayBe(disk, process, descriptor) && IsTheDisk(disk, process, descriptor)) return true;
  }
  return false;
}

Opener Describe(const fs::path& process, pid_t pid) {
  std::error_code error;
  Opener opener{pid, Printable(FirstLine(process / "comm")), pid == getpid(), false};
  const bool is_child = FieldOf(process / "status", "PPid") == std::to_string(getpid());
  const fs::path ours = fs::read_symlink("/proc/self/exe", error);
  opener.is_starting = is_child && !ours.empty() && fs::read_symlink(process / "exe", error) == ours;
  return opener;
}

}  // namespace

std::optional<Opener> FindOpener(const struct stat& disk, bool with_self, int except) {
  std::optional<Opener> starting;
  std::error_code error;
  for (fs::directory_iterator it("/proc", error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    pid_t pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ptr != name.data() + name.size()) continue;
    const bool self = pid == getpid();
    if (self && !with_self) continue;
    if (!HasOpen(disk, it->path(), self ? except : -1)) continue;
    Opener opener = Describe(it->path(), pid);
    if (!opener.is_starting) return opener;
    starting = opener;
  }
  return starting;
}

}  // namespace haven::blkrep
