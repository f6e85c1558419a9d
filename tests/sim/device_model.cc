// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/sim/device_model.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "core/assert.h"
#include "os/write_all.h"
#include "tests/sim/unseen.h"

namespace haven::sim {

DeviceModel::DeviceModel(World& world, Process& process, bool incoming)
    : world_(world), process_(process), incoming_(incoming), mode_(world.settings.mode) {}

DeviceModel::~DeviceModel() = default;

// --- the main thread ------------------------------------------------------------

void DeviceModel::Post(std::function<void()> fn) {
  {
    const std::lock_guard lock(queue_lock_);
    queue_.push_back(std::move(fn));
  }
  world_.scheduler.Wake(&queue_);
}

void DeviceModel::RunOnMain(void (*fn)(void*), void* arg) {
  const Unseen unseen;
  Post([fn, arg] { AsEngine([&] { fn(arg); }); });
}

void DeviceModel::Loop() {
  while (true) {
    while (queue_.empty()) world_.scheduler.Block(&queue_);
    std::function<void()> fn;
    {
      const std::lock_guard lock(queue_lock_);
      fn = std::move(queue_.front());
      queue_.pop_front();
    }
    fn();
    world_.scheduler.Yield();
  }
}

void DeviceModel::HangMain(Duration time) {
  Post([this, time] {
    world_.Note(process_.name, "stands still in its main thread");
    main_since_ = world_.scheduler.world_now();
    world_.scheduler.SleepUntil(world_.scheduler.Now() + time);
    main_since_.reset();
    world_.Note(process_.name, "goes on in its main thread");
  });
}

Duration DeviceModel::Stuck() const {
  const Instant now = world_.scheduler.world_now();
  const Instant disk = disk_since_ && settling_since_ ? std::max(*disk_since_, *settling_since_) : now;
  return now - std::min(disk, main_since_.value_or(now));
}

bool DeviceModel::MustNotDecide() const {
  const bool main = main_since_ && world_.scheduler.world_now() - *main_since_ > milliseconds(1000);
  return !ended_ && (main || told_of_stall_);
}

void DeviceModel::Protect() {
  if (!running() || session_ != nullptr) return;
  session::PrimaryOptions options;
  options.connect = {kGuest, world_.other(process_.host).name, kPort, world_.settings.deadline};
  options.connect.clock = &world_.clock;
  options.connect.dialer = &world_.network.DialerOf(process_);
  options.pause_on_loss = world_.settings.pause_on_loss;
  options.machine = kModelMachine;
  options.mode = mode_;
  options.arbiter = world_.ArbiterFor(process_.host);
  options.state_dir = world_.StateRoot(process_.host) + "/" + kGuest;
  std::vector<blkrep::DiskReplicator::Disk> disks;
  for (uint32_t i = 0; i < kDisks; i++) {
    options.disk_paths[kDiskNames[i]] = World::DiskPath(process_.host, i);
    disks.push_back({kDiskNames[i], kDiskBytes[i]});
  }
  options.life = life_;
  options.start_wait_s = 3;
  options.on_start = world_.settings.on_start;
  options.threads = 1;
  options.early_from_pages = 1;
  options.encoder.cache_bytes = 1 << 20;
  options.encoder.link_bytes_per_second = 10'000'000;
  options.encoder.now_ns = [] { return uint64_t{0}; };
  const Status usable = session::PrimarySession::CheckState(options, disks);
  if (!usable.ok()) return world_.Note(process_.name, usable.message());
  world_.Note(process_.name, "is to be protected");
  ended_ = false;
  session_state_ = session::PrimaryState::kConnecting;
  AsEngine([&] { session_ = std::make_unique<session::PrimarySession>(std::move(options), *this, disks); });
}

void DeviceModel::SetMode(const session::ModeSettings& mode) {
  mode_ = mode;
  if (session_ == nullptr) return;
  const Status set = AsEngine([&] { return session_->SetMode(mode); });
  HAVEN_ASSERT(set.ok());
}

void DeviceModel::End(wire::Goodbye reason, Duration off) {
  world_.Note(process_.name, "is ended");
  powered_off_ = powered_off_ || reason == wire::Goodbye::kGuestPoweredOff;
  off_ = off;
  ended_ = true;
  if (session_ == nullptr) return HasEnded();
  const Status begun = AsEngine([&] { return session_->Stop(reason); });
  HAVEN_ASSERT(begun.ok());
}

void DeviceModel::Ended() {
  const Unseen unseen;
  AsEngine([&] { session_.reset(); });
  session_state_.reset();
  HasEnded();
}

void DeviceModel::HasEnded() {
  if (!powered_off_) return;
  world_.After(off_, [&world = world_, &host = process_.host] { SwitchOn(world, host, true); });
  world_.Kill(process_);
}

void DeviceModel::Audit() {
  if (!running() || state_.counter() == 0) return;
  // One whose output is held without a backup runs for nobody.
  Reply reply{state_.counter(), state_.chain()};
  const iovec iov{&reply, sizeof(reply)};
  const bool held = Holds(iov);
  if (held && session_state_ != session::PrimaryState::kProtected &&
      session_state_ != session::PrimaryState::kVerifying) {
    return;
  }
  std::string why;
  const std::vector<ByteSpan> memory(std::begin(state_.memory), std::end(state_.memory));
  const ModelState seen = ModelState::Load(state_.SaveDevice(0), memory, World::ReadDisks(process_.host), why);
  world_.checker.Runs("the copy on " + process_.host.name, seen, why);
}

void DeviceModel::StateChanged(const session::PrimaryStatus& status) {
  const Unseen unseen;
  session_state_ = status.state;
  waits_for_word_ = status.message.starts_with("output is held until");
  world_.Note(process_.name, std::string(session::PrimaryStateName(status.state)) +
                                 (status.message.empty() ? "" : ": " + status.message));
}

void DeviceModel::Halt() {
  const Unseen unseen;
  halted_ = true;
  running_ = false;
  world_.Note(process_.name, "is halted");
  // A person ended it, or gave it to the backup, whose it is from its last word on.
  if (world_.checker.forgiven() || powered_off_ || HandsOver()) return;
  const bool lost = std::any_of(world_.verdicts.begin(), world_.verdicts.end(),
                                [](const auto& verdict) { return verdict.second == "backup"; });
  const bool promoted = std::any_of(world_.models.begin(), world_.models.end(), [this](const auto& model) {
    return model.get() != this && model->incoming_ && &model->process_.host != &process_.host;
  });
  if (!lost && !promoted)
    world_.checker.Broken("killed: replication has halted the only copy, on " + process_.host.name);
}

bool DeviceModel::HandsOver() {
  const session::PrimaryStatus status = AsEngine([&] { return session_->Query(); });
  return status.message.find("while the guest was handed over") != std::string::npos;
}

// --- memory ---------------------------------------------------------------------

Status DeviceModel::SetDirtyLog(bool on) {
  const Unseen unseen;
  log_on_ = on;
  for (size_t r = 0; on && r < regions_.size(); r++) {
    for (uint64_t page = 0; page < regions_[r].pages(); page++) dirty_[r][page / 64] |= 1ull << page % 64;
  }
  return Status::Ok();
}

Status DeviceModel::HarvestDirty(size_t region, std::span<uint64_t> bitmap, session::AfterHarvest after) {
  const Unseen unseen;
  for (size_t i = 0; i < bitmap.size(); i++) bitmap[i] |= dirty_[region][i];
  if (after == session::AfterHarvest::kForget) std::fill(dirty_[region].begin(), dirty_[region].end(), 0);
  return Status::Ok();
}

Result<bool> DeviceModel::MakeReady() {
  const Unseen unseen;
  if (!world_.settings.waits_beside || (unfinished_ == 0 && !settling_since_)) return true;
  if (!settling_since_) settling_since_ = world_.scheduler.world_now();
  return false;
}

/// Main thread: the last request has finished, for which a checkpoint has waited.
void DeviceModel::Settled() {
  if (!settling_since_ || unfinished_ > 0) return;
  settling_since_.reset();
  told_of_stall_ = false;
  if (session_ != nullptr) AsEngine([&] { (void)session_->GuestReady(Status::Ok()); });
}

milliseconds DeviceModel::DiskStall() {
  const Unseen unseen;
  if (!disk_since_ || !settling_since_) return milliseconds(0);
  const auto stall = world_.scheduler.world_now() - std::max(*disk_since_, *settling_since_);
  told_of_stall_ |= stall >= milliseconds(1);
  return std::chrono::duration_cast<milliseconds>(stall);
}

Result<bool> DeviceModel::Stop() {
  const Unseen unseen;
  // As the requests in flight are waited for here, so does the main thread.
  if (unfinished_ > 0) main_since_ = world_.scheduler.world_now();
  while (unfinished_ > 0) world_.scheduler.Block(&unfinished_);
  main_since_.reset();
  if (halted_) return false;
  running_ = false;
  return true;
}

void DeviceModel::Resume() {
  const Unseen unseen;
  running_ = true;
  if (state_.step != Step::kIdle && state_.step_done) Post([this] { Advance(); });
}

Status DeviceModel::SaveDeviceState(Bytes& out) {
  const Unseen unseen;
  const Bytes state = state_.SaveDevice(world_.guests.Below(300));
  out.insert(out.end(), state.begin(), state.end());
  return Status::Ok();
}

// --- operations -------------------------------------------------------------------

void DeviceModel::Request(uint64_t number, uint64_t last) {
  Post([this, number, last] {
    if (!running()) return;
    // What one copy has acknowledged another may not have seen yet: then it begins with its own next one.
    if (number > state_.counter() + 1) return;
    wanted_ = std::max(wanted_, last);
    if (number <= state_.counter()) SendReply(number);
    BeginNext();
  });
}

void DeviceModel::BeginNext() {
  if (!running() || state_.step != Step::kIdle || state_.counter() >= wanted_) return;
  state_.pending = state_.Next(world_.guests.Next());
  state_.step = Step::kData;
  DoStep();
}

bool DeviceModel::WriteLocally(const ModelState::Write& write) {
  if (write.leaves_data) return true;
  ByteSpan data = write.data;
  return os::WriteAllAt(fds_[write.disk], data, write.offset) == 0;
}

void DeviceModel::OnOwnDisk(std::function<void()> request) {
  if (!world_.DiskHangs(process_.host)) {
    request();
    return RequestDone(this);
  }
  world_.Note(process_.name, "waits for its disk");
  disk_since_ = world_.scheduler.world_now();
  world_.scheduler.Spawn(&process_, "disk", [this, request = std::move(request)] {
    while (world_.DiskHangs(process_.host))
      world_.scheduler.Block(nullptr, kNever, world_.DiskHangsUntil(process_.host));
    request();
    disk_since_.reset();
    RequestDone(this);
  });
}

/// To this host's disk and to the backup; done when both have it.
void DeviceModel::DoStep() {
  if (!running()) return;
  state_.step_done = false;
  unfinished_++;
  parts_ = 2;
  bool waits = false;
  if (state_.step == Step::kData || state_.step == Step::kLog) {
    const auto write =
        state_.step == Step::kData ? ModelState::DataOf(state_.pending) : ModelState::LogOf(state_.pending);
    const iovec iov{const_cast<uint8_t*>(write.data.data()), write.data.size()};
    const blkrep::Request request{write.kind, write.may_unmap, write.disk, write.offset, write.data.size()};
    const int parts = write.kind == blkrep::Request::Kind::kWrite ? 1 : 0;
    waits = session_ != nullptr &&
            AsEngine([&] { return session_->disks().Submit(request, &iov, parts, 0, RequestDone, this); });
    OnOwnDisk([this, write] { HAVEN_ASSERT(WriteLocally(write)); });
  } else {
    const uint32_t disk = state_.step == Step::kDataFlush ? 1 : 0;
    waits = session_ != nullptr && AsEngine([&] { return session_->disks().Flush(disk, RequestDone, this); });
    OnOwnDisk([this, disk] { HAVEN_ASSERT(os::Files::Here().SyncData(fds_[disk]) == 0); });
  }
  if (!waits) RequestDone(this);
}

/// Any thread.
void DeviceModel::RequestDone(void* model) {
  const Unseen unseen;
  static_cast<DeviceModel*>(model)->StepDone();
}

void DeviceModel::StepDone() {
  if (--parts_ > 0) return;
  state_.step_done = true;
  unfinished_--;
  world_.scheduler.Wake(&unfinished_);
  Post([this] {
    Settled();
    for (uint32_t disk = 0; disk < kDisks; disk++) PumpCopy(disk);
    Advance();
  });
}

/// Main thread; may come twice for one step.
void DeviceModel::Advance() {
  if (!running() || !state_.step_done || state_.step == Step::kIdle) return;
  if (state_.step != Step::kLogFlush) {
    state_.step = static_cast<Step>(static_cast<int>(state_.step) + 1);
    return DoStep();
  }
  state_.step = Step::kIdle;
  state_.step_done = false;
  for (uint64_t page : state_.Do(state_.pending)) {
    const uint64_t region = page >> 32, index = page & 0xffffffff;
    if (log_on_) dirty_[region][index / 64] |= 1ull << index % 64;
  }
  SendReply(state_.counter());
  BeginNext();
}

bool DeviceModel::Holds(const iovec& frame) {
  return session_ != nullptr && AsEngine([&] { return session_->Output(this, 0, &frame, 1); });
}

void DeviceModel::SendReply(uint64_t number) {
  Reply reply{number, state_.operation(number).chain};
  iovec iov{&reply, sizeof(reply)};
  if (Holds(iov)) return;
  leaving_.push_back(reply);
  Leave(Checker::Leave::kAlone);
}

void DeviceModel::SendFrame(const netrep::Frame& frame) {
  const Unseen unseen;
  Reply reply;
  HAVEN_ASSERT(frame.bytes == sizeof(reply));
  memcpy(&reply, frame.data.get(), sizeof(reply));
  leaving_.push_back(reply);
}

void DeviceModel::ReleaseOutput() {
  const Unseen unseen;
  Leave(Checker::Leave::kCommitted);
}

void DeviceModel::ReleaseAllOutput() {
  const Unseen unseen;
  if (MustNotDecide())
    world_.checker.Broken("stuck: the primary on " + process_.host.name + " goes on alone while its disk hangs");
  if (world_.settings.arbiter && !ended_ && !world_.checker.forgiven() && !world_.WonLast(process_.host))
    world_.checker.Broken("no verdict: the primary on " + process_.host.name + " goes on alone, and has not won");
  Leave(Checker::Leave::kAlone);
}

void DeviceModel::Leave(Checker::Leave why) {
  for (const Reply& reply : leaving_) {
    world_.Note(process_.name, "reply " + std::to_string(reply.number));
    world_.checker.Left(process_.host.name, reply, why);
  }
  if (!leaving_.empty()) world_.scheduler.Wake(&world_.checker);
  leaving_.clear();
}

// --- the first copy of the disk -----------------------------------------------------

void DeviceModel::StartDiskCopy(uint32_t disk) {
  const Unseen unseen;
  copying_[disk] = true;
  PumpCopy(disk);
}

void DeviceModel::PumpCopy(uint32_t disk) {
  if (copying_[disk] && world_.DiskHangs(process_.host)) {
    return world_.After(world_.DiskHangsUntil(process_.host) - world_.scheduler.world_now(),
                        [this, disk] { Post([this, disk] { PumpCopy(disk); }); });
  }
  // A piece is locked against the guest's writes while it is read.
  while (copying_[disk] && session_ != nullptr && unfinished_ == 0) {
    const auto piece = AsEngine([&] { return session_->disks().NextCopy(disk); });
    if (!piece) {
      copying_[disk] = false;
      return;
    }
    Bytes data(piece->bytes);
    HAVEN_ASSERT(pread(fds_[disk], data.data(), data.size(), static_cast<off_t>(piece->offset)) ==
                 static_cast<ssize_t>(data.size()));
    const bool zero = std::all_of(data.begin(), data.end(), [](uint8_t octet) { return octet == 0; });
    AsEngine([&] { session_->disks().SendCopy(disk, *piece, zero ? nullptr : data.data(), nullptr, nullptr); });
  }
}

}  // namespace haven::sim
