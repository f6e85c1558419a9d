// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/sim/world.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/assert.h"
#include "tests/sim/backup_daemon.h"
#include "tests/sim/device_model.h"
#include "tests/sim/unseen.h"

namespace haven::sim {

/// Lets the first side that asks for a session win, and gives the same answer ever after.
class World::Judge final : public session::Arbiter {
 public:
  Judge(World& world, const Host& host) : world_(world), host_(host) {}
  Status Ask(const std::string&, const std::string& instance, const char* role, const GivenUp&) override {
    const Unseen unseen;
    const DeviceModel* model = world_.ModelOn(host_);
    if (model != nullptr && std::string_view(role) == "primary" && model->MustNotDecide())
      world_.checker.Broken("stuck: the primary on " + host_.name + " asks the arbiter, and could not act on its word");
    world_.won_last_[&host_] = false;
    world_.scheduler.SleepUntil(world_.scheduler.Now() + std::chrono::milliseconds(2 + world_.guests.Below(20)));
    if (const Status none = NoVerdict(); !none.ok()) {
      world_.Note("arbiter", std::string(role) + " on " + host_.name + " gets no verdict");
      return none;
    }
    const auto [verdict, first] = world_.verdicts.try_emplace(instance, role);
    world_.Note("arbiter", std::string(role) + " on " + host_.name + (verdict->second == role ? " wins" : " loses"));
    // The answer may be lost on its way.
    if (const Status none = NoVerdict(); !none.ok()) return none;
    world_.won_last_[&host_] = verdict->second == role;
    if (verdict->second == role) return Status::Ok();
    return {StatusCode::kRefused, "the other side has won"};
  }

 private:
  Status NoVerdict() {
    if (world_.scheduler.world_now() < world_.ArbiterUnknownUntil(host_))
      return {StatusCode::kEnvironment, "the arbiter has ended with status 127, which is no verdict"};
    if (world_.scheduler.world_now() >= world_.ArbiterSilentUntil(host_)) return Status::Ok();
    world_.scheduler.SleepUntil(world_.scheduler.Now() + std::chrono::milliseconds(300));
    return {StatusCode::kEnvironment, "the arbiter does not answer"};
  }

  World& world_;
  const Host& host_;
};

World::World(uint64_t seed, const std::string& folder, const Settings& given, bool shown,
             std::function<void(const Ending&)> end)
    : settings(given),
      trace(shown),
      scheduler(seed, trace),
      network(scheduler, Mix(seed, 3)),
      files(scheduler, Mix(seed, 4)),
      checker([this](const std::string& what) { End(what); }),
      guests(Mix(seed, 5)),
      faults(Mix(seed, 6)),
      hosts{{"a", folder + "/a"}, {"b", folder + "/b"}},
      end_(std::move(end)) {
  scheduler.on_hang = [this](const std::string& why) { End("hang: " + why); };
  network.note = [this](const std::string& what) { Note("network", what); };
  network.SetDelay(settings.delay);
  for (const Host& host : hosts) {
    HAVEN_ASSERT(mkdir(host.folder.c_str(), 0700) == 0 && mkdir(StateRoot(host).c_str(), 0700) == 0);
  }
  // The guest's disks, on the host where it is at home.
  for (uint32_t disk = 0; disk < kDisks; disk++) {
    const int fd = open(DiskPath(hosts[0], disk).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    Bytes sector(kSectorBytes);
    if (disk == 0) ModelState::MakeBootable(sector);
    HAVEN_ASSERT(fd >= 0 && ftruncate(fd, kDiskBytes[disk]) == 0 && pwrite(fd, sector.data(), sector.size(), 0) > 0);
    close(fd);
  }
  scheduler.Begin(&files);
}

World::~World() = default;

Disks World::ReadDisks(const Host& host) {
  Disks disks;
  for (uint32_t disk = 0; disk < kDisks; disk++) {
    const int fd = open(DiskPath(host, disk).c_str(), O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0) continue;
    HAVEN_ASSERT(fstat(fd, &st) == 0);
    disks[disk].resize(static_cast<size_t>(st.st_size));
    HAVEN_ASSERT(pread(fd, disks[disk].data(), disks[disk].size(), 0) == st.st_size);
    close(fd);
  }
  return disks;
}

void World::After(Duration delay, std::function<void()> act) {
  const Instant at = scheduler.world_now() + delay;
  due_.emplace(at, std::move(act));
  scheduler.WakeAt(&due_, at);
}

void World::Run() {
  while (true) {
    while (!due_.empty() && due_.begin()->first <= scheduler.world_now()) {
      auto act = std::move(due_.begin()->second);
      due_.erase(due_.begin());
      act();
    }
    scheduler.Block(&due_, kNever, due_.empty() ? kNever : due_.begin()->first);
  }
}

void World::End(const std::string& violation) {
  if (!violation.empty()) Note("checker", violation);
  end_({violation, trace.hash(), scheduler.steps(), failovers});
  abort();
}

void World::Note(const std::string& who, const std::string& what) { trace.Note(scheduler.world_now(), who, what); }

Process& World::NewProcess(const std::string& name, Host& host) {
  processes.push_back(std::make_unique<Process>(name + "-" + host.name, host));
  // What stands still is the whole host.
  for (const auto& other : processes)
    processes.back()->frozen |= &other->host == &host && other->alive && other->frozen;
  return *processes.back();
}

void World::Kill(Process& process) {
  if (!process.alive) return;
  Note(process.name, "dies");
  process.alive = false;
  files.Died(process);
  network.Died(process, false);
  if (scheduler.current() == &process) scheduler.Park();
}

void World::PowerOff(Host& host) {
  if (!host.up) return;
  Note(host.name, "loses power");
  host.up = false;
  for (const auto& process : processes) {
    if (&process->host != &host || !process->alive) continue;
    process->alive = false;
    files.Died(*process);
    network.Died(*process, true);
  }
  files.Crash(host);
  if (Process* self = scheduler.current(); self != nullptr && &self->host == &host) scheduler.Park();
}

void World::PowerOn(Host& host) {
  if (host.up) return;
  Note(host.name, "is switched on");
  host.up = true;
  host.boots++;
  network.Rebooted(host);
}

void World::Freeze(Host& host, Duration time, bool clock_too) {
  Note(host.name, clock_too ? "is paused" : "is stopped");
  for (const auto& process : processes) {
    if (&process->host == &host) process->frozen = true;
  }
  After(time, [this, &host, time, clock_too] {
    Note(host.name, "goes on");
    if (clock_too) host.behind += time;
    for (const auto& process : processes) {
      if (&process->host == &host) process->frozen = false;
    }
  });
  if (Process* self = scheduler.current(); self != nullptr && &self->host == &host) scheduler.Park();
}

session::ArbiterChoice World::ArbiterFor(const Host& host) {
  if (!settings.arbiter) return {};
  return {std::make_shared<Judge>(*this, host), "the world's"};
}

DeviceModel* World::ModelOn(const Host& host) const {
  for (const auto& model : models) {
    if (&model->process().host == &host && model->process().alive) return model.get();
  }
  return nullptr;
}

DeviceModel* World::Protected() const {
  for (const auto& model : models) {
    if (model->process().alive && model->session_state()) return model.get();
  }
  return nullptr;
}

BackupDaemon* World::DaemonOn(const Host& host) const {
  for (const auto& daemon : daemons) {
    if (&daemon->process().host == &host && daemon->process().alive) return daemon.get();
  }
  return nullptr;
}

}  // namespace haven::sim
