// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/sim/backup_daemon.h"

#include "tests/sim/device_model.h"
#include "tests/sim/unseen.h"

namespace haven::sim {
namespace {

constexpr milliseconds kHelloTime{5000};
constexpr Duration kLook = milliseconds(50);
/// After so many deadlines a primary that gets nowhere is stuck.
constexpr int kStuckDeadlines = 5;

/// How long something has been so without a break.
class Lasting {
 public:
  explicit Lasting(SimScheduler& scheduler) : scheduler_(scheduler) {}
  Duration Note(bool so) {
    const Instant now = scheduler_.world_now();
    if (!so || now - seen_ > 2 * kLook) since_ = now;
    seen_ = now;
    return now - since_;
  }

 private:
  SimScheduler& scheduler_;
  Instant seen_{}, since_{};
};

}  // namespace

void BackupDaemon::SwitchOn(World& world, Host& host) {
  if (!host.up || world.DaemonOn(host) != nullptr) return;
  Process& process = world.NewProcess("havend", host);
  world.daemons.push_back(std::make_unique<BackupDaemon>(world, process));
  world.Note(process.name, "starts");
  world.scheduler.Spawn(&process, "main", [daemon = world.daemons.back().get()] { daemon->Start(); });
}

void BackupDaemon::Start() {
  session::BackupGuestOptions options;
  options.name = kGuest;
  options.state_dir = world_.StateRoot(process_.host) + "/" + kGuest;
  for (uint32_t i = 0; i < kDisks; i++) options.disks[kDiskNames[i]] = World::DiskPath(process_.host, i);
  options.create = true;
  using session::DiskAck;
  options.disk_ack = world_.settings.durable        ? DiskAck::kDurable
                     : world_.settings.ack_by_epoch ? DiskAck::kEpoch
                                                    : DiskAck::kReceived;
  options.auto_promote = world_.settings.auto_promote;
  options.take_over_stuck = world_.settings.take_over_stuck;
  options.arbiter = world_.ArbiterFor(process_.host);
  options.deadline = world_.settings.deadline;
  options.clock = &world_.clock;
  session::Activator& activator = *this;
  std::unique_ptr<session::BackupGuest> guest;
  const Status recovered = AsEngine([&] {
    guest = std::make_unique<session::BackupGuest>(std::move(options), activator);
    return guest->Recover();
  });
  {
    const std::lock_guard lock(guest_lock_);
    guest_ = std::move(guest);
  }
  if (!recovered.ok()) world_.Note(process_.name, recovered.message());
  world_.network.Listen(process_, [this](std::unique_ptr<Transport> transport) { Accept(std::move(transport)); });
}

void BackupDaemon::Use(const std::function<void(session::BackupGuest&)>& use) {
  busy_++;
  { const std::lock_guard lock(guest_lock_); }
  session::BackupGuest& guest = *guest_;
  AsEngine([&] { use(guest); });
  { const std::lock_guard lock(guest_lock_); }
  busy_--;
  world_.scheduler.Wake(&busy_);
}

void BackupDaemon::Accept(std::unique_ptr<Transport> transport) {
  if (ending_) return;
  Use([&](session::BackupGuest& guest) {
    auto link = std::make_unique<Link>(std::move(transport), world_.clock);
    Record record;
    if (!link->Receive(record, kHelloTime).ok() || record.header.type != wire::Type::kHello) return;
    auto hello = wire::DecodeHello(record.body);
    if (hello.ok() && !ending_) guest.Attach(std::move(link), hello.value());
  });
}

void BackupDaemon::Order(const std::string& order, std::function<Status(session::BackupGuest&)> act) {
  world_.scheduler.Spawn(&process_, "person", [this, order, act = std::move(act)] {
    if (ending_ || guest_ == nullptr) return;
    world_.Note(process_.name, "order: " + order);
    Status done;
    orders_++;
    Use([&](session::BackupGuest& guest) { done = act(guest); });
    orders_--;
    world_.Note(process_.name, order + (done.ok() ? ": done" : ": " + done.message()));
  });
}

void BackupDaemon::WatchStuck(Duration time) {
  world_.scheduler.Spawn(&process_, "watch", [this, until = world_.scheduler.world_now() + time] {
    // Until a heartbeat has said it, and a second one what the first has asked for.
    const Duration slack = world_.settings.deadline + milliseconds(1000);
    const Duration limit = kStuckDeadlines * world_.settings.deadline + slack;
    Lasting unsaid(world_.scheduler), moves(world_.scheduler), left(world_.scheduler);
    while (world_.scheduler.world_now() < until && !ending_) {
      using session::BackupState;
      BackupState state = BackupState::kWaiting;
      if (guest_ != nullptr) Use([&](session::BackupGuest& guest) { state = guest.Query().state; });
      const DeviceModel* primary = world_.ModelOn(world_.other(process_.host));
      const bool there = primary != nullptr && !primary->process().frozen;
      const Duration stuck = there ? primary->Stuck() : Duration{};
      const bool said = state == BackupState::kStuck;
      const Duration unsaid_for = unsaid.Note(stuck > Duration{} && state == BackupState::kProtecting);
      const std::string of = "stuck: the backup on " + process_.host.name + " ";
      if (std::min(stuck, unsaid_for) > limit) world_.checker.Broken(of + "does not say that its primary is");
      if (moves.Note(there && said && stuck == Duration{}) > slack)
        world_.checker.Broken(of + "says that its primary is, which moves again");
      if (left.Note(said && world_.settings.take_over_stuck) > slack)
        world_.checker.Broken(of + "does not take over, as it is told to");
      world_.scheduler.SleepUntil(world_.scheduler.Now() + kLook);
    }
  });
}

void BackupDaemon::End() {
  world_.scheduler.Spawn(&process_, "end", [this] {
    if (ending_) return;
    ending_ = true;
    world_.Note(process_.name, "is ended");
    while (busy_ > 0) world_.scheduler.Block(&busy_);
    { const std::lock_guard lock(guest_lock_); }
    AsEngine([&] { guest_.reset(); });
    world_.Kill(process_);
  });
}

Status BackupDaemon::MayStart() {
  const Unseen unseen;
  if (world_.ModelOn(process_.host) == nullptr) return Status::Ok();
  return {StatusCode::kRefused, "the guest runs on this host"};
}

Status BackupDaemon::Prepare(const memrep::GuestImage&) {
  const Unseen unseen;
  state_ = HostState::kCopying;
  return Status::Ok();
}

void BackupDaemon::Committed(const memrep::GuestImage&) {
  const Unseen unseen;
  state_ = HostState::kHolding;
}

void BackupDaemon::Discard() {
  const Unseen unseen;
  state_ = HostState::kWaiting;
}

/// Takes its time, while epochs come in, and faults.
Status BackupDaemon::TryLoad(const memrep::GuestImage& image) {
  const std::lock_guard lock(image.mutex());
  const Unseen unseen;
  world_.scheduler.SleepUntil(world_.scheduler.Now() + milliseconds(2 + world_.guests.Below(20)));
  return Status::Ok();
}

Status BackupDaemon::Activate(const memrep::GuestImage& image) {
  const Unseen unseen;
  state_ = HostState::kStarting;
  if (world_.settings.arbiter && !world_.checker.forgiven() && !world_.WonLast(process_.host))
    world_.checker.Broken("no verdict: the backup on " + process_.host.name + " starts the guest, and has not won");
  if (world_.only_hangs && !world_.settings.take_over_stuck)
    world_.checker.Broken("against the policy: the backup on " + process_.host.name +
                          " takes over from a primary that is stuck");
  return DeviceModel::Activate(world_, process_.host, &image);
}

Status BackupDaemon::Boot() {
  const Unseen unseen;
  return DeviceModel::Activate(world_, process_.host, nullptr);
}

bool BackupDaemon::Running() {
  const Unseen unseen;
  const DeviceModel* model = world_.ModelOn(process_.host);
  return model != nullptr && model->incoming();
}

}  // namespace haven::sim
