// SPDX-License-Identifier: GPL-2.0-or-later
// How a device model starts.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "blkrep/image_lock.h"
#include "core/assert.h"
#include "core/random_token.h"
#include "tests/sim/device_model.h"
#include "tests/sim/unseen.h"

namespace haven::sim {
namespace {

constexpr Duration kStartTime = std::chrono::seconds(5);
constexpr Duration kProtectAfter = std::chrono::milliseconds(5);

}  // namespace

void DeviceModel::SwitchOn(World& world, Host& host, bool protect) {
  if (!host.up || world.ModelOn(host) != nullptr) return;
  Process& process = world.NewProcess("guest", host);
  world.models.push_back(std::make_unique<DeviceModel>(world, process, false));
  DeviceModel& model = *world.models.back();
  world.Note(process.name, "is switched on");
  world.scheduler.Spawn(&process, "main", [&model, protect] {
    model.BootFromDisk(protect);
    model.Loop();
  });
}

Status DeviceModel::Activate(World& world, Host& host, const memrep::GuestImage* image) {
  const std::string where = "the copy on " + host.name;
  Process& process = world.NewProcess("guest", host);
  auto owned = std::make_unique<DeviceModel>(world, process, true);
  DeviceModel& model = *owned;
  for (uint32_t disk = 0; disk < kDisks; disk++) {
    if (access(World::DiskPath(host, disk).c_str(), F_OK) != 0) return Status::FromErrno(errno, "a disk is not there");
  }
  if (unsigned& failing = world.failing_starts[&host]; failing > 0) {
    failing--;
    world.Note(process.name, "cannot be started");
    return {StatusCode::kEnvironment, "the process of the guest does not start"};
  }
  const Disks disks = World::ReadDisks(host);
  std::string why;
  if (image == nullptr) {
    model.state_ = ModelState::Boot(disks, why);
    world.checker.ForgiveAlone(host.name);  // the order says that it is lost
  } else {
    std::vector<ByteSpan> memory;
    for (const auto& region : image->regions()) memory.emplace_back(region.data, region.bytes);
    model.state_ = ModelState::Load(image->device_state(), memory, disks, why);
  }
  world.Note(process.name, "is activated with " + std::to_string(model.state_.counter()) + " operations");
  world.checker.Runs(where, model.state_, why);
  world.checker.TakesOver(host.name);
  world.models.push_back(std::move(owned));
  world.failovers++;
  world.scheduler.Spawn(&process, "main", [&model, &world, cold = image == nullptr] {
    const Status opened = model.OpenDisks();
    if (opened.ok()) {
      if (cold) model.Repair();
      model.Go();
    } else {
      world.Note(model.process_.name, opened.message());
    }
    world.scheduler.Wake(&model);
    model.Loop();
  });
  world.scheduler.Block(&model, world.scheduler.Now() + kStartTime);
  return model.running_ && process.alive ? Status::Ok() : Status(StatusCode::kEnvironment, "its disk cannot be opened");
}

void DeviceModel::BootFromDisk(bool protect) {
  protect_ = protect;
  session::GateOptions gate;
  gate.root = world_.StateRoot(process_.host);
  gate.guests = {kGuest};
  for (uint32_t i = 0; i < kDisks; i++) gate.disks.push_back(World::DiskPath(process_.host, i));
  gate.deadline = world_.settings.deadline;
  gate.clock = &world_.clock;
  gate.dialer = &world_.network.DialerOf(process_);
  gate.arbiter = world_.ArbiterFor(process_.host);
  gate_ = AsEngine([&] { return session::StartGate::Close(std::move(gate), *this); });
  if (gate_ == nullptr) GateChanged(true, "");
}

/// Any thread.
void DeviceModel::GateChanged(bool open, const std::string& message) {
  const Unseen unseen;
  if (!open) {
    world_.Note(process_.name, message);
    return;
  }
  Post([this] {
    if (running_) return;
    const Status opened = OpenDisks();
    if (!opened.ok()) {
      world_.Note(process_.name, opened.message());
      world_.Kill(process_);
    }
    const Disks disks = World::ReadDisks(process_.host);
    if (!ModelState::Bootable(disks)) {
      world_.Note(process_.name, "finds nothing to boot from");
      world_.Kill(process_);
    }
    std::string why;
    state_ = ModelState::Boot(disks, why);
    world_.Note(process_.name, "boots from its disks with " + std::to_string(state_.counter()) + " operations");
    world_.checker.Runs("the copy on " + process_.host.name, state_, why);
    world_.checker.TakesOver(process_.host.name);
    Repair();
    Go();
    if (protect_) world_.After(kProtectAfter, [this] { Post([this] { Protect(); }); });
  });
}

void DeviceModel::Adopt() {
  if (gate_ == nullptr || running_) return;
  const Status adopted = AsEngine([&] { return gate_->Adopt(); });
  world_.Note(process_.name, adopted.ok() ? "is adopted" : adopted.message());
}

Status DeviceModel::OpenDisks() {
  for (uint32_t disk = 0; disk < kDisks; disk++) {
    const std::string path = World::DiskPath(process_.host, disk);
    const int fd = os::Files::Here().Open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) return Status::FromErrno(errno, "cannot open the guest's disk");
    world_.files.Exempt(fd);
    HAVEN_RETURN_IF_ERROR(blkrep::ImageLock::Take(fd, path));
    fds_[disk] = fd;
  }
  return Status::Ok();
}

void DeviceModel::Repair() {
  for (const auto& write : state_.Undo(World::ReadDisks(process_.host))) HAVEN_ASSERT(WriteLocally(write));
  HAVEN_ASSERT(os::Files::Here().SyncData(fds_[1]) == 0);
}

void DeviceModel::Go() {
  const char* names[] = {"pc.ram", "vga"};
  for (size_t i = 0; i < 2; i++) {
    regions_.push_back({names[i], state_.memory[i].data(), state_.memory[i].size()});
    dirty_.emplace_back(regions_[i].bitmap_words());
  }
  life_ = RandomToken();
  running_ = true;
  if (state_.step != Step::kIdle) Post([this] { state_.step_done ? Advance() : DoStep(); });
}

}  // namespace haven::sim
