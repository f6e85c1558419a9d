/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_SIM_WORLD_H
#define HAVEN_TESTS_SIM_WORLD_H

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "blkrep/guest_record.h"
#include "session/arbiter.h"
#include "session/policy/mode.h"
#include "tests/sim/checker.h"
#include "tests/sim/network.h"
#include "tests/sim/scheduler.h"
#include "tests/sim/sim_files.h"

namespace haven::sim {

class BackupDaemon;
class DeviceModel;

constexpr char kGuest[] = "vm";
constexpr const char* kDiskNames[kDisks] = {"vda", "vdb"};
constexpr char kPort[] = "7780";

/// How the two hosts of a run are configured.
struct Settings {
  bool arbiter = true, auto_promote = true, durable = false, ack_by_epoch = false, pause_on_loss = false;
  bool take_over_stuck = false;
  bool waits_beside = true;  ///< for its disks before a checkpoint: the device model, beside its main thread
  session::ModeSettings mode;
  milliseconds deadline{1000};
  blkrep::GuestRecord::OnStart on_start = blkrep::GuestRecord::OnStart::kWait;
  Duration delay{std::chrono::microseconds(100)};
  bool far = false;                   ///< `delay` is longer than epochs are: several are in flight
  milliseconds patience{150};         ///< of the client, until it asks again
  uint64_t longest_pause_us = 10000;  ///< of the client, between two operations
  uint64_t ahead = 0;                 ///< operations that it orders before the one before is acknowledged
};

/// Two hosts, their disks, the network between them, an arbiter, and one guest with its client: all of one run.
class World {
 public:
  struct Ending {
    std::string violation;  ///< empty: there was none
    uint64_t trace_hash = 0, steps = 0;
    unsigned failovers = 0;
  };

  /// @param folder  empty; files of both hosts come there. @param end  is called once, and does not return.
  World(uint64_t seed, const std::string& folder, const Settings& settings, bool shown,
        std::function<void(const Ending&)> end);
  ~World();

  /// After `delay`, on the world's own thread.
  void After(Duration delay, std::function<void()> act);
  /// The world's thread: does what is due, for ever.
  void Run();
  [[noreturn]] void End(const std::string& violation);
  void Note(const std::string& who, const std::string& what);

  Process& NewProcess(const std::string& name, Host& host);
  /// As by SIGKILL.
  void Kill(Process& process);
  /// All at once; what was not synced may be gone.
  void PowerOff(Host& host);
  void PowerOn(Host& host);
  /// @param clock_too  as a virtual machine that is paused; else as by SIGSTOP.
  void Freeze(Host& host, Duration time, bool clock_too);

  Host& other(const Host& host) { return &host == &hosts[0] ? hosts[1] : hosts[0]; }
  static std::string DiskPath(const Host& host, uint32_t disk) { return host.folder + "/" + kDiskNames[disk]; }
  /// Of a host that has them. @return empty ones if it has not.
  static Disks ReadDisks(const Host& host);
  std::string StateRoot(const Host& host) const { return host.folder + "/state"; }
  session::ArbiterChoice ArbiterFor(const Host& host);
  /// Until when this host's arbiter gives no answer.
  Instant& ArbiterSilentUntil(const Host& host) { return arbiter_silent_[&host]; }
  /// ... or an answer that is no verdict.
  Instant& ArbiterUnknownUntil(const Host& host) { return arbiter_unknown_[&host]; }
  /// Whether what it has told this host last was that it has won.
  bool WonLast(const Host& host) { return won_last_[&host]; }
  /// Until when the guest's own disk here answers nothing.
  Instant& DiskHangsUntil(const Host& host) { return disk_hangs_[&host]; }
  bool DiskHangs(const Host& host) { return scheduler.world_now() < DiskHangsUntil(host); }

  DeviceModel* ModelOn(const Host& host) const;  ///< that lives; nullptr: none
  DeviceModel* Protected() const;                ///< that lives, and has a session; nullptr: none
  BackupDaemon* DaemonOn(const Host& host) const;

  const Settings settings;
  Trace trace;
  SimScheduler scheduler;
  SimClock clock;
  Network network;
  SimFiles files;
  Checker checker;
  Random guests, faults;  ///< what guests and clients choose; what goes wrong
  Host hosts[2];
  std::vector<std::unique_ptr<Process>> processes;
  std::vector<std::unique_ptr<DeviceModel>> models;
  std::vector<std::unique_ptr<BackupDaemon>> daemons;
  unsigned failovers = 0;
  bool only_hangs = true;  ///< nothing else has gone wrong, and nobody has ordered anything: no side was lost
  std::map<const Host*, unsigned> failing_starts;  ///< how many of the next, of a copy by the backup
  /// instance -> role that has won
  std::map<std::string, std::string> verdicts;

 private:
  class Judge;

  const std::function<void(const Ending&)> end_;
  std::multimap<Instant, std::function<void()>> due_;
  std::map<const Host*, Instant> arbiter_silent_, arbiter_unknown_, disk_hangs_;
  std::map<const Host*, bool> won_last_;
};

}  // namespace haven::sim

#endif
