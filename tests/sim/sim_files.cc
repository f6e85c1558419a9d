// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/sim/sim_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <optional>

#include "core/assert.h"
#include "tests/sim/unseen.h"

namespace haven::sim {
namespace {

constexpr uint64_t kSectorBytes = 512;

std::optional<uint64_t> InodeOf(int fd) {
  struct stat st;
  return fstat(fd, &st) == 0 ? std::optional<uint64_t>(st.st_ino) : std::nullopt;
}

std::optional<uint64_t> InodeOf(const char* path) {
  struct stat st;
  return stat(path, &st) == 0 ? std::optional<uint64_t>(st.st_ino) : std::nullopt;
}

std::string FolderOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

Bytes Content(int fd) {
  struct stat st;
  HAVEN_ASSERT(fstat(fd, &st) == 0);
  Bytes octets(static_cast<size_t>(st.st_size));
  HAVEN_ASSERT(pread(fd, octets.data(), octets.size(), 0) == st.st_size);
  return octets;
}

}  // namespace

std::string SimFiles::PathOf(int fd) const {
  const auto path = paths_.find(fd);
  return path == paths_.end() ? "" : path->second;
}

bool SimFiles::MayChange(const std::string& path, bool needs_room, int fd) {
  Process* process = scheduler_.current();
  if (process == nullptr) return true;
  on_change(Moment::kChange, path);
  scheduler_.Yield();
  Trouble& trouble = trouble_[&process->host];
  errno = 0;
  if (exempt_.contains(fd)) return true;
  if (trouble.read_only) errno = EROFS;
  if (trouble.full && needs_room) errno = ENOSPC;
  if (needs_room && trouble.failing_writes > 0) {
    trouble.failing_writes--;
    errno = EIO;
  }
  return errno == 0;
}

SimFiles::Dirty* SimFiles::DirtyOf(int fd, const std::string& path) {
  Process* process = scheduler_.current();
  const auto inode = InodeOf(fd);
  if (process == nullptr || !inode) return nullptr;
  Dirty& dirty = dirty_[*inode];
  if (dirty.host == nullptr) {
    dirty.host = &process->host;
    dirty.path = path.empty() ? paths_[fd] : path;
  }
  return &dirty;
}

/// Before it is made.
void SimFiles::Remember(Dirty& dirty, Change change) {
  // The descriptor of who changes it may be for writing only.
  const int fd = open(dirty.path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat st;
  HAVEN_ASSERT(fd >= 0 && fstat(fd, &st) == 0);
  change.size_before = static_cast<uint64_t>(st.st_size);
  if (change.at < change.size_before) {
    const uint64_t rest = change.size_before - change.at;
    change.before.resize(change.truncate ? rest : std::min<uint64_t>(rest, change.octets.size()));
    HAVEN_ASSERT(pread(fd, change.before.data(), change.before.size(), static_cast<off_t>(change.at)) ==
                 static_cast<ssize_t>(change.before.size()));
  }
  close(fd);
  dirty.changes.push_back(std::move(change));
}

void SimFiles::Dirty::SyncFails() {
  sync_lost = true;
  for (Change& change : changes) {
    if (change.sync == Change::Sync::kDue) change.sync = Change::Sync::kFailed;
  }
}

bool SimFiles::Dirty::Synced() {
  for (Change& change : changes) {
    if (change.sync == Change::Sync::kDue) change.sync = Change::Sync::kDone;
  }
  return !sync_lost;
}

/// What the file was at its last sync.
Bytes SimFiles::Synced(int fd, const Dirty& dirty) {
  Bytes octets = Content(fd);
  for (auto change = dirty.changes.rbegin(); change != dirty.changes.rend(); ++change) {
    octets.resize(change->size_before);
    std::copy(change->before.begin(), change->before.end(), octets.begin() + static_cast<ptrdiff_t>(change->at));
  }
  return octets;
}

std::string SimFiles::Keep(const char* path) {
  const std::string name = FolderOf(path) + "/.kept-" + std::to_string(kept_++);
  return link(path, name.c_str()) == 0 ? name : "";
}

int SimFiles::Open(const char* path, int flags, mode_t mode) {
  const Unseen unseen;
  Process* process = scheduler_.current();
  const bool creates = (flags & O_CREAT) != 0 && !InodeOf(path);
  const bool writes = (flags & O_ACCMODE) != O_RDONLY;
  if (creates && !MayChange(path, true)) return -1;
  if (writes && process != nullptr && trouble_[&process->host].read_only) {
    errno = EROFS;
    return -1;
  }
  const int fd = open(path, flags & ~O_TRUNC, mode);
  if (fd < 0 || process == nullptr) return fd;
  process->descriptors.insert(fd);
  paths_[fd] = path;
  if (creates) names_.push_back({NameChange::Kind::kCreate, &process->host, path, "", ""});
  if ((flags & O_TRUNC) != 0 && !creates && Truncate(fd, 0) != 0) {
    const int error = errno;
    Close(fd);
    errno = error;
    return -1;
  }
  return fd;
}

int SimFiles::Close(int fd) {
  const Unseen unseen;
  if (Process* process = scheduler_.current()) process->descriptors.erase(fd);
  paths_.erase(fd);
  exempt_.erase(fd);
  return close(fd);
}

void SimFiles::Died(Process& process) {
  for (int fd : process.descriptors) {
    paths_.erase(fd);
    exempt_.erase(fd);
    // Not by the function: ThreadSanitizer takes that for the act of a thread that nothing orders after the process's
    // own.
    syscall(SYS_close, fd);
  }
  process.descriptors.clear();
}

ssize_t SimFiles::Write(int fd, const iovec* parts, int count, off_t at) {
  const Unseen unseen;
  if (!MayChange(PathOf(fd), true, fd)) return -1;
  if (Dirty* dirty = DirtyOf(fd)) {
    Change change;
    change.at = static_cast<uint64_t>(at < 0 ? lseek(fd, 0, SEEK_CUR) : at);
    for (int i = 0; i < count; i++) {
      const auto* data = static_cast<const uint8_t*>(parts[i].iov_base);
      change.octets.insert(change.octets.end(), data, data + parts[i].iov_len);
    }
    Remember(*dirty, std::move(change));
  }
  return Files::Write(fd, parts, count, at);
}

int SimFiles::Truncate(int fd, off_t bytes) {
  const Unseen unseen;
  if (!MayChange(PathOf(fd), false)) return -1;
  if (Dirty* dirty = DirtyOf(fd)) {
    Remember(*dirty, {static_cast<uint64_t>(bytes), {}, true, 0, {}});
  }
  return Files::Truncate(fd, bytes);
}

int SimFiles::Allocate(int fd, int mode, off_t at, off_t bytes) {
  const Unseen unseen;
  if (!MayChange(PathOf(fd), true, fd)) return -1;
  if (Dirty* dirty = DirtyOf(fd)) {
    Remember(*dirty, {static_cast<uint64_t>(at), Bytes(static_cast<size_t>(bytes)), false, 0, {}});
  }
  const int result = Files::Allocate(fd, mode, at, bytes);
  // Not every file system can do all of it.
  if (Dirty* dirty = DirtyOf(fd); dirty != nullptr && result != 0) dirty->changes.pop_back();
  return result;
}

int SimFiles::Sync(int fd) {
  const Unseen unseen;
  Process* process = scheduler_.current();
  if (process == nullptr) return 0;
  std::string path = PathOf(fd);
  on_change(Moment::kChange, path);
  scheduler_.Yield();
  const auto inode = InodeOf(fd);
  Trouble& trouble = trouble_[&process->host];
  if (trouble.failing_syncs > 0 && !exempt_.contains(fd)) {
    trouble.failing_syncs--;
    if (const auto dirty = dirty_.find(*inode); dirty != dirty_.end()) dirty->second.SyncFails();
    errno = EIO;
    return -1;
  }
  if (const auto dirty = dirty_.find(*inode); dirty != dirty_.end()) {
    if (dirty->second.Synced() || exempt_.contains(fd)) dirty_.erase(dirty);
  }
  std::string folder = path;
  while (folder.ends_with('/')) folder.pop_back();
  for (auto name = names_.begin(); name != names_.end();) {
    if (FolderOf(name->path) != folder) {
      ++name;
      continue;
    }
    Forget(name->kept);
    name = names_.erase(name);
  }
  on_change(Moment::kSynced, path);
  return 0;
}

int SimFiles::SetAttribute(int fd, const char* name, const void* value, size_t bytes) {
  const Unseen unseen;
  if (!MayChange(PathOf(fd), true)) return -1;
  if (Dirty* dirty = DirtyOf(fd); dirty != nullptr && !dirty->attribute) {
    char old[512];
    const ssize_t n = fgetxattr(fd, name, old, sizeof(old));
    dirty->attribute = true;
    dirty->attribute_name = name;
    dirty->old_attribute.assign(old, n > 0 ? static_cast<size_t>(n) : 0);
  }
  return Files::SetAttribute(fd, name, value, bytes);
}

void SimFiles::Forget(const std::string& kept) {
  if (kept.empty()) return;
  // The number of an inode is used again.
  if (const auto inode = InodeOf(kept.c_str())) dirty_.erase(*inode);
  unlink(kept.c_str());
}

void SimFiles::Moved(const std::string& from, const std::string& to) {
  for (auto& [inode, dirty] : dirty_) {
    if (dirty.path == from) dirty.path = to;
  }
}

int SimFiles::Rename(const char* from, const char* to) {
  const Unseen unseen;
  if (!MayChange(to, false)) return -1;
  Process* process = scheduler_.current();
  const std::string kept = Keep(to);
  const int result = Files::Rename(from, to);
  if (process == nullptr || result != 0) return result;
  if (!kept.empty()) Moved(to, kept);
  Moved(from, to);
  names_.push_back({NameChange::Kind::kRename, &process->host, to, from, kept});
  return 0;
}

int SimFiles::Unlink(const char* path) {
  const Unseen unseen;
  if (!MayChange(path, false)) return -1;
  Process* process = scheduler_.current();
  const std::string kept = Keep(path);
  const int result = Files::Unlink(path);
  if (process == nullptr || result != 0) return result;
  Moved(path, kept);
  names_.push_back({NameChange::Kind::kUnlink, &process->host, path, "", kept});
  return 0;
}

// --- a crash ----------------------------------------------------------------------

void SimFiles::UndoName(const NameChange& change) {
  if (change.kind != NameChange::Kind::kUnlink) {
    if (change.kind == NameChange::Kind::kRename) {
      rename(change.path.c_str(), change.from.c_str());
      Moved(change.path, change.from);
    } else {
      unlink(change.path.c_str());
    }
  }
  if (change.kept.empty()) return;
  rename(change.kept.c_str(), change.path.c_str());
  Moved(change.kept, change.path);
}

void SimFiles::Tear(Dirty& dirty) {
  const int fd = open(dirty.path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return;  // its name has gone
  if (dirty.attribute && random_.Percent(50)) {
    if (dirty.old_attribute.empty()) {
      fremovexattr(fd, dirty.attribute_name.c_str());
    } else {
      fsetxattr(fd, dirty.attribute_name.c_str(), dirty.old_attribute.data(), dirty.old_attribute.size(), 0);
    }
  }
  if (!dirty.changes.empty()) {
    Bytes octets = Synced(fd, dirty);
    for (const Change& change : dirty.changes) {
      // It is lost, it is there, some sectors of it are.
      const uint64_t fate = change.sync == Change::Sync::kDone ? 1 : random_.Below(3);
      if (fate == 0) continue;
      if (change.truncate) {
        octets.resize(change.at);
        continue;
      }
      const uint64_t end = change.at + change.octets.size();
      if (octets.size() < end) octets.resize(end);
      for (uint64_t at = change.at; at < end;) {
        const uint64_t next = std::min(end, (at / kSectorBytes + 1) * kSectorBytes);
        if (fate == 1 || random_.Percent(50)) {
          std::copy_n(change.octets.begin() + static_cast<ptrdiff_t>(at - change.at), next - at,
                      octets.begin() + static_cast<ptrdiff_t>(at));
        }
        at = next;
      }
    }
    HAVEN_ASSERT(ftruncate(fd, static_cast<off_t>(octets.size())) == 0);
    HAVEN_ASSERT(pwrite(fd, octets.data(), octets.size(), 0) == static_cast<ssize_t>(octets.size()));
  }
  close(fd);
}

void SimFiles::Crash(const Host& host) {
  std::vector<NameChange> mine;
  for (const NameChange& change : names_) {
    if (change.host == &host) mine.push_back(change);
  }
  std::erase_if(names_, [&](const NameChange& change) { return change.host == &host; });
  const size_t survive = random_.Below(mine.size() + 1);
  for (size_t i = mine.size(); i > survive; i--) UndoName(mine[i - 1]);
  for (size_t i = 0; i < survive; i++) {
    Forget(mine[i].kept);
  }
  // In the order of their names: the numbers of inodes differ from run to run.
  std::vector<Dirty*> torn;
  for (auto& [inode, dirty] : dirty_) {
    if (dirty.host == &host) torn.push_back(&dirty);
  }
  std::sort(torn.begin(), torn.end(), [](const Dirty* a, const Dirty* b) { return a->path < b->path; });
  for (Dirty* dirty : torn) Tear(*dirty);
  std::erase_if(dirty_, [&](const auto& entry) { return entry.second.host == &host; });
}

}  // namespace haven::sim
