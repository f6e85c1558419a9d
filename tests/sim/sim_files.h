/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_SIM_SIM_FILES_H
#define HAVEN_TESTS_SIM_SIM_FILES_H

#include <functional>
#include <list>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/bytes.h"
#include "os/files.h"
#include "tests/sim/scheduler.h"

namespace haven::sim {

/// The hosts' files: real ones, in a folder for each host. Knows of each what was not synced, which a crash of
/// its host may undo: contents in any order and torn, names from some moment on.
class SimFiles final : public os::Files {
 public:
  /// What is wrong with the storage of a host.
  struct Trouble {
    bool full = false, read_only = false;
    unsigned failing_writes = 0, failing_syncs = 0;  ///< how many of the next
  };

  SimFiles(SimScheduler& scheduler, uint64_t seed) : scheduler_(scheduler), random_(seed) {}

  /// Before the current process changes or syncs a file, and when a file was synced.
  enum class Moment { kChange, kSynced };
  std::function<void(Moment, const std::string& path)> on_change;

  /// This descriptor of a guest's own disk has no trouble.
  void Exempt(int fd) { exempt_.insert(fd); }
  Trouble& TroubleOf(const Host& host) { return trouble_[&host]; }
  /// The system closes what a dead process had open.
  void Died(Process& process);
  /// After all its processes have died.
  void Crash(const Host& host);

  int Open(const char* path, int flags, mode_t mode = 0) override;
  int Close(int fd) override;
  ssize_t Write(int fd, const iovec* parts, int count, off_t at) override;
  int Sync(int fd) override;
  int SyncData(int fd) override { return Sync(fd); }
  int Truncate(int fd, off_t bytes) override;
  int Allocate(int fd, int mode, off_t at, off_t bytes) override;
  int SetAttribute(int fd, const char* name, const void* value, size_t bytes) override;
  int Rename(const char* from, const char* to) override;
  int Unlink(const char* path) override;

 private:
  using Inode = uint64_t;
  struct Change {
    uint64_t at = 0;
    Bytes octets;
    bool truncate = false;  ///< to `at` octets
    uint64_t size_before = 0;
    Bytes before;  ///< from `at` on, what there was of what has changed
    enum class Sync { kDue, kDone, kFailed } sync = Sync::kDue;
  };
  /// What was not synced of one file.
  struct Dirty {
    const Host* host = nullptr;
    std::string path;
    bool sync_lost = false;  ///< a sync has failed: what was due then is never sure again
    std::vector<Change> changes;
    bool attribute = false;  ///< `old_attribute` holds what it was
    std::string attribute_name, old_attribute;

    void SyncFails();
    /// @return whether all of it is sure.
    bool Synced();
  };
  struct NameChange {
    enum class Kind { kCreate, kRename, kUnlink } kind;
    const Host* host;
    std::string path, from, kept;  ///< `kept`: another name of what was there, if anything
  };

  /// @return whether the current process may change something; else errno is set.
  bool MayChange(const std::string& path, bool needs_room, int fd = -1);
  std::string PathOf(int fd) const;
  Dirty* DirtyOf(int fd, const std::string& path = "");
  static void Remember(Dirty& dirty, Change change);
  static Bytes Synced(int fd, const Dirty& dirty);
  /// Gives the file another name. @return it; empty: there is no such file.
  std::string Keep(const char* path);
  void Forget(const std::string& kept);
  void Moved(const std::string& from, const std::string& to);
  void UndoName(const NameChange& change);
  void Tear(Dirty& dirty);

  SimScheduler& scheduler_;
  Random random_;
  std::map<const Host*, Trouble> trouble_;
  std::set<int> exempt_;
  std::map<int, std::string> paths_;  ///< of open descriptors
  std::map<Inode, Dirty> dirty_;
  std::list<NameChange> names_;
  unsigned kept_ = 0;
};

}  // namespace haven::sim

#endif
