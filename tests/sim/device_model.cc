// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/sim/device_model.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "blkrep/image_lock.h"
#include "core/assert.h"
#include "core/random_token.h"
#include "os/write_all.h"

namespace haven::sim {
namespace {

constexpr Duration kDiskRetry = std::chrono::milliseconds(20);
constexpr Duration kStartTime = std::chrono::seconds(5);
constexpr Duration kProtectAfter = std::chrono::milliseconds(5);

}  // namespace

DeviceModel::DeviceModel(World& world, Process& process, bool incoming)
    : world_(world), process_(process), incoming_(incoming) {}

DeviceModel::~DeviceModel() = default;

// --- how it starts ------------------------------------------------------------

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
  const int fd = open(world.DiskPath(host).c_str(), O_RDONLY | O_CLOEXEC);
  struct stat st;
  if (fd < 0 || fstat(fd, &st) != 0) return Status::FromErrno(errno, "cannot open the guest's disk");
  Bytes disk(static_cast<size_t>(st.st_size));
  HAVEN_ASSERT(pread(fd, disk.data(), disk.size(), 0) == st.st_size);
  close(fd);
  std::string why;
  if (image == nullptr) {
    model.state_ = ModelState::Boot(disk, why);
  } else {
    std::vector<ByteSpan> memory;
    for (const auto& region : image->regions()) memory.emplace_back(region.data, region.bytes);
    model.state_ = ModelState::Load(image->device_state(), memory, disk, why);
  }
  world.Note(process.name, "is activated with " + std::to_string(model.state_.counter()) + " operations");
  world.checker.Runs(where, model.state_, why);
  world.models.push_back(std::move(owned));
  world.failovers++;
  world.scheduler.Spawn(&process, "main", [&model, &world, cold = image == nullptr] {
    const Status opened = model.OpenDisk();
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
  gate.disks = {world_.DiskPath(process_.host)};
  gate.deadline = world_.settings.deadline;
  gate.clock = &world_.clock;
  gate.dialer = &world_.network.DialerOf(process_);
  gate.arbiter = world_.ArbiterFor(process_.host);
  gate_ = session::StartGate::Close(std::move(gate), *this);
  if (gate_ == nullptr) GateChanged(true, "");
}

/// Any thread.
void DeviceModel::GateChanged(bool open, const std::string& message) {
  if (!open) {
    world_.Note(process_.name, message);
    return;
  }
  Post([this] {
    if (running_) return;
    const Status opened = OpenDisk();
    if (!opened.ok()) {
      world_.Note(process_.name, opened.message());
      world_.Kill(process_);
    }
    const Bytes disk = ReadDisk();
    if (!ModelState::Bootable(disk)) {
      world_.Note(process_.name, "finds nothing to boot from");
      world_.Kill(process_);
    }
    std::string why;
    state_ = ModelState::Boot(disk, why);
    world_.Note(process_.name, "boots from its disk with " + std::to_string(state_.counter()) + " operations");
    world_.checker.Runs("the copy on " + process_.host.name, state_, why);
    Repair();
    Go();
    if (protect_) world_.After(kProtectAfter, [this] { Post([this] { Protect(); }); });
  });
}

Status DeviceModel::OpenDisk() {
  const std::string path = world_.DiskPath(process_.host);
  const int fd = os::Files::Here().Open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return Status::FromErrno(errno, "cannot open the guest's disk");
  world_.files.Exempt(fd);
  HAVEN_RETURN_IF_ERROR(blkrep::ImageLock::Take(fd, path));
  fd_ = fd;
  return Status::Ok();
}

Bytes DeviceModel::ReadDisk() const {
  struct stat st;
  HAVEN_ASSERT(fstat(fd_, &st) == 0);
  Bytes disk(static_cast<size_t>(st.st_size));
  HAVEN_ASSERT(pread(fd_, disk.data(), disk.size(), 0) == st.st_size);
  return disk;
}

void DeviceModel::Repair() {
  for (const auto& write : state_.Undo(ReadDisk())) HAVEN_ASSERT(WriteLocally(write));
  HAVEN_ASSERT(os::Files::Here().SyncData(fd_) == 0);
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

// --- the main thread ------------------------------------------------------------

void DeviceModel::Post(std::function<void()> fn) {
  queue_.push_back(std::move(fn));
  world_.scheduler.Wake(&queue_);
}

void DeviceModel::RunOnMain(void (*fn)(void*), void* arg) {
  Post([fn, arg] { fn(arg); });
}

void DeviceModel::Loop() {
  while (true) {
    while (queue_.empty()) world_.scheduler.Block(&queue_);
    auto fn = std::move(queue_.front());
    queue_.pop_front();
    fn();
    world_.scheduler.Yield();
  }
}

void DeviceModel::Protect() {
  if (!running() || session_ != nullptr) return;
  session::PrimaryOptions options;
  options.connect = {kGuest, world_.other(process_.host).name, kPort, world_.settings.deadline};
  options.connect.clock = &world_.clock;
  options.connect.dialer = &world_.network.DialerOf(process_);
  options.pause_on_loss = world_.settings.pause_on_loss;
  options.interval = world_.settings.interval;
  options.arbiter = world_.ArbiterFor(process_.host);
  options.state_dir = world_.StateRoot(process_.host) + "/" + kGuest;
  options.disk_paths = {{kDisk, world_.DiskPath(process_.host)}};
  options.life = life_;
  options.start_wait_s = 3;
  options.on_start = world_.settings.on_start;
  options.threads = 1;
  options.encoder.cache_bytes = 1 << 20;
  options.encoder.link_bytes_per_second = 10'000'000;
  options.encoder.now_ns = [] { return uint64_t{0}; };
  const std::vector<blkrep::DiskReplicator::Disk> disks = {{kDisk, kDiskBytes}};
  const Status usable = session::PrimarySession::CheckState(options, disks);
  if (!usable.ok()) return world_.Note(process_.name, usable.message());
  world_.Note(process_.name, "is to be protected");
  session_ = std::make_unique<session::PrimarySession>(std::move(options), *this, disks);
}

void DeviceModel::End(wire::Goodbye reason) {
  world_.Note(process_.name, "is ended");
  if (session_ != nullptr) session_->Stop(reason);
  if (reason == wire::Goodbye::kUnprotect) {
    session_.reset();
    session_state_.reset();
    return;
  }
  world_.Kill(process_);
}

void DeviceModel::Audit() {
  if (!running() || state_.counter() == 0) return;
  // One whose output is held without a backup runs for nobody.
  Reply reply{state_.counter(), state_.chain()};
  const iovec iov{&reply, sizeof(reply)};
  const bool held = session_ != nullptr && session_->Output(this, 0, &iov, 1);
  if (held && session_state_ != session::PrimaryState::kProtected) return;
  std::string why;
  const std::vector<ByteSpan> memory(std::begin(state_.memory), std::end(state_.memory));
  const ModelState seen = ModelState::Load(state_.SaveDevice(0), memory, ReadDisk(), why);
  world_.checker.Runs("the copy on " + process_.host.name, seen, why);
}

void DeviceModel::StateChanged(const session::PrimaryStatus& status) {
  session_state_ = status.state;
  world_.Note(process_.name, std::string(session::PrimaryStateName(status.state)) +
                                 (status.message.empty() ? "" : ": " + status.message));
}

void DeviceModel::Halt() {
  halted_ = true;
  running_ = false;
  world_.Note(process_.name, "is halted");
  if (world_.checker.forgiven()) return;
  const bool lost = std::any_of(world_.verdicts.begin(), world_.verdicts.end(),
                                [](const auto& verdict) { return verdict.second == "backup"; });
  const bool promoted = std::any_of(world_.models.begin(), world_.models.end(), [this](const auto& model) {
    return model.get() != this && model->incoming_ && &model->process_.host != &process_.host;
  });
  if (!lost && !promoted)
    world_.checker.Broken("killed: replication has halted the only copy, on " + process_.host.name);
}

// --- memory ---------------------------------------------------------------------

Status DeviceModel::SetDirtyLog(bool on) {
  log_on_ = on;
  for (size_t r = 0; on && r < regions_.size(); r++) {
    for (uint64_t page = 0; page < regions_[r].pages(); page++) dirty_[r][page / 64] |= 1ull << page % 64;
  }
  return Status::Ok();
}

Status DeviceModel::HarvestDirty(size_t region, std::span<uint64_t> bitmap, session::AfterHarvest after) {
  for (size_t i = 0; i < bitmap.size(); i++) bitmap[i] |= dirty_[region][i];
  if (after == session::AfterHarvest::kForget) std::fill(dirty_[region].begin(), dirty_[region].end(), 0);
  return Status::Ok();
}

Result<bool> DeviceModel::Stop() {
  while (unfinished_ > 0) world_.scheduler.Block(&unfinished_);
  if (halted_) return false;
  running_ = false;
  return true;
}

void DeviceModel::Resume() {
  running_ = true;
  if (state_.step != Step::kIdle && state_.step_done) Post([this] { Advance(); });
}

Status DeviceModel::SaveDeviceState(Bytes& out) {
  const Bytes state = state_.SaveDevice(world_.guests.Below(300));
  out.insert(out.end(), state.begin(), state.end());
  return Status::Ok();
}

// --- operations -------------------------------------------------------------------

void DeviceModel::Request(uint64_t number) {
  Post([this, number] {
    if (!running()) return;
    if (number <= state_.counter()) return SendReply(number);
    if (number != state_.counter() + 1 || state_.step != Step::kIdle || number > kMostOperations) return;
    state_.pending = state_.Next(world_.guests.Next());
    state_.step = Step::kData;
    DoStep();
  });
}

bool DeviceModel::WriteLocally(const ModelState::Write& write) {
  ByteSpan data = write.data;
  return os::WriteAllAt(fd_, data, write.offset) == 0;
}

/// To this host's disk and to the backup; done when both have it.
void DeviceModel::DoStep() {
  if (!running()) return;
  state_.step_done = false;
  unfinished_++;
  bool waits = false;
  if (state_.step == Step::kData || state_.step == Step::kLog) {
    const auto write =
        state_.step == Step::kData ? ModelState::DataOf(state_.pending) : ModelState::LogOf(state_.pending);
    const iovec iov{const_cast<uint8_t*>(write.data.data()), write.data.size()};
    const blkrep::Request request{blkrep::Request::Kind::kWrite, false, 0, write.offset, write.data.size()};
    waits = session_ != nullptr && session_->disks().Submit(request, &iov, 1, 0, RequestDone, this);
    HAVEN_ASSERT(WriteLocally(write));
  } else {
    waits = session_ != nullptr && session_->disks().Flush(0, RequestDone, this);
    HAVEN_ASSERT(os::Files::Here().SyncData(fd_) == 0);
  }
  if (!waits) RequestDone(this);
}

/// Any thread.
void DeviceModel::RequestDone(void* model) { static_cast<DeviceModel*>(model)->StepDone(); }

void DeviceModel::StepDone() {
  state_.step_done = true;
  unfinished_--;
  world_.scheduler.Wake(&unfinished_);
  Post([this] {
    if (copying_) PumpCopy();
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
}

void DeviceModel::SendReply(uint64_t number) {
  Reply reply{number, state_.operation(number).chain};
  iovec iov{&reply, sizeof(reply)};
  if (session_ != nullptr && session_->Output(this, 0, &iov, 1)) return;
  leaving_.push_back(reply);
  Leave(Checker::Leave::kAlone);
}

void DeviceModel::SendFrame(const netrep::Frame& frame) {
  Reply reply;
  HAVEN_ASSERT(frame.bytes == sizeof(reply));
  memcpy(&reply, frame.data.get(), sizeof(reply));
  leaving_.push_back(reply);
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

void DeviceModel::StartDiskCopy(uint32_t) {
  copying_ = true;
  PumpCopy();
}

void DeviceModel::PumpCopy() {
  // A piece is locked against the guest's writes while it is read.
  while (copying_ && session_ != nullptr && unfinished_ == 0) {
    const auto piece = session_->disks().NextCopy(0);
    if (!piece) {
      copying_ = false;
      return;
    }
    Bytes data(piece->bytes);
    HAVEN_ASSERT(pread(fd_, data.data(), data.size(), static_cast<off_t>(piece->offset)) ==
                 static_cast<ssize_t>(data.size()));
    const bool zero = std::all_of(data.begin(), data.end(), [](uint8_t octet) { return octet == 0; });
    (void)session_->disks().SendCopy(0, *piece, zero ? nullptr : data.data(), nullptr, nullptr);
  }
}

}  // namespace haven::sim
