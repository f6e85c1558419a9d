// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/session_fakes.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/assert.h"
#include "core/guarded.h"
#include "tests/unit/blkrep_support.h"

namespace haven::session::test {

bool Eventually(const std::function<bool()>& condition) {
  std::mutex mutex;
  std::condition_variable tick;
  std::unique_lock lock(mutex);
  for (Instant end = SteadyClock::now() + std::chrono::seconds(30); SteadyClock::now() < end;) {
    if (condition()) return true;
    tick.wait_for(lock, milliseconds(1));
  }
  return condition();
}

// --- MainLoop ---------------------------------------------------------------

MainLoop::MainLoop() : thread_([this] { Loop(); }) {}

MainLoop::~MainLoop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void MainLoop::Post(std::function<void()> fn) {
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(fn));
  }
  changed_.notify_all();
}

void MainLoop::Run(const std::function<void()>& fn) {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  Post([&] {
    fn();
    std::lock_guard lock(mutex);
    done = true;
    changed.notify_all();
  });
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return done; });
}

void MainLoop::Loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    auto fn = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    fn();
    lock.lock();
  }
}

// --- FakeGuest ----------------------------------------------------------------

struct FakeGuest::Write {
  FakeGuest& guest;
  uint32_t disk;
};

FakeGuest::FakeGuest(MainLoop* loop, std::vector<uint64_t> disk_bytes) : saved(1), loop_(loop) {
  memory_ = {Bytes(70 * kPageBytes), Bytes(3 * kPageBytes)};
  const char* names[] = {"pc.ram", "vga.vram"};
  for (size_t i = 0; i < memory_.size(); i++) {
    regions_.push_back({names[i], memory_[i].data(), memory_[i].size()});
    dirty_.emplace_back(regions_[i].bitmap_words());
  }
  for (uint64_t bytes : disk_bytes) disk_data_.emplace_back(bytes);
  copying_.resize(disk_data_.size());
  disk_busy_.resize(disk_data_.size());
}

void FakeGuest::RunOnMain(void (*fn)(void*), void* arg) {
  if (loop_ == nullptr) return fn(arg);
  loop_->Post([=] { fn(arg); });
}

Status FakeGuest::SetDirtyLog(bool on) {
  log_on = on;
  for (size_t r = 0; on && r < regions_.size(); r++) {
    for (uint64_t page = 0; page < regions_[r].pages(); page++) dirty_[r][page / 64] |= 1ull << page % 64;
  }
  return Status::Ok();
}

Status FakeGuest::HarvestDirty(size_t region, std::span<uint64_t> bitmap, AfterHarvest after) {
  HAVEN_ASSERT(log_on && bitmap.size() == dirty_[region].size());
  for (size_t i = 0; i < bitmap.size(); i++) bitmap[i] |= dirty_[region][i];
  if (after == AfterHarvest::kForget) std::fill(dirty_[region].begin(), dirty_[region].end(), 0);
  return Status::Ok();
}

Result<bool> FakeGuest::MakeReady() {
  ready_asked++;
  return ready_at_once;
}

Status FakeGuest::CutOutput() {
  HAVEN_ASSERT(administrator_paused || !running_);
  if (cut_output_fails.ok()) output_calls.push_back("cut");
  return cut_output_fails;
}

void FakeGuest::ReleaseOutput() { output_calls.push_back("release"); }

void FakeGuest::ReleaseAllOutput() { output_calls.push_back("all"); }

Status FakeGuest::DropOutput() {
  output_calls.push_back("drop");
  return Status::Ok();
}

void FakeGuest::StopsAs(wire::GuestRun run) {
  administrator_paused = true;
  run_state = run;
}

Result<bool> FakeGuest::Stop() {
  stops++;
  on_stop();
  if (!stop_fails.ok()) return stop_fails;
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return unfinished_ == 0; });  // drains
  if (administrator_paused) return false;
  HAVEN_ASSERT(running_);
  running_ = false;
  return true;
}

Status FakeGuest::SaveDeviceState(Bytes& out) {
  on_save();
  ByteWriter w(out);
  w.U64(saved.size());
  while (out.size() < 100 + saved.size() % 3 * 1000) w.U8(static_cast<uint8_t>(out.size() + saved.size()));
  // Saving may write to memory.
  WritePage(1, 2, static_cast<uint8_t>(saved.size()));
  saved.push_back(Now());
  saved.back().device = out;
  return Status::Ok();
}

void FakeGuest::SendFrame(const netrep::Frame& frame) {
  HAVEN_ASSERT(frame.nic == this);
  std::string text(frame.data.get(), frame.data.get() + frame.bytes);
  frames.push_back(text);
  frames_out++;
  if (on_frame) on_frame(text, frame.flags);
}

void FakeGuest::StateChanged(const PrimaryStatus& status) {
  std::lock_guard lock(mutex_);
  last_state_ = status.state;
  messages_.push_back(status.message);
}

bool FakeGuest::WasTold(const std::string& message) {
  std::lock_guard lock(mutex_);
  return std::find(messages_.begin(), messages_.end(), message) != messages_.end();
}

PrimaryState FakeGuest::last_state() {
  std::lock_guard lock(mutex_);
  return last_state_;
}

void FakeGuest::WritePage(uint32_t region, uint64_t page, uint8_t value) {
  memset(memory_[region].data() + page * kPageBytes, value, kPageBytes);
  if (log_on) dirty_[region][page / 64] |= 1ull << page % 64;
}

void FakeGuest::SendFrameOut(const std::string& text) {
  iovec iov[2] = {{const_cast<char*>(text.data()), text.size() / 2},
                  {const_cast<char*>(text.data()) + text.size() / 2, text.size() - text.size() / 2}};
  auto produced_after = static_cast<unsigned>(saved.size() - 1);
  if (primary != nullptr && primary->Output(this, produced_after, iov, 2)) return;
  frames.push_back(text);
  frames_out++;
}

void FakeGuest::WriteDone(void* arg) {
  std::unique_ptr<Write> write(static_cast<Write*>(arg));
  FakeGuest& guest = write->guest;
  std::lock_guard lock(guest.mutex_);
  guest.disk_busy_[write->disk] = false;
  uint32_t disk = write->disk;
  if (guest.loop_ != nullptr) guest.loop_->Post([&guest, disk] { guest.PumpCopy(disk); });
  guest.unfinished_--;
  guest.changed_.notify_all();
}

bool FakeGuest::Submit(const blkrep::Request& request, const Bytes& data) {
  {
    std::lock_guard lock(mutex_);
    if (disk_busy_[request.disk]) return false;
    disk_busy_[request.disk] = true;
    unfinished_++;
  }
  auto at = disk_data_[request.disk].begin() + static_cast<ptrdiff_t>(request.offset);
  if (data.empty()) {
    std::fill_n(at, request.bytes, 0);
  } else {
    std::copy(data.begin(), data.end(), at);
  }
  iovec iov{const_cast<uint8_t*>(data.data()), data.size()};
  auto* write = new Write{*this, request.disk};
  if (replicator() == nullptr || !replicator()->Submit(request, &iov, 1, 0, WriteDone, write)) WriteDone(write);
  return true;
}

bool FakeGuest::WriteDisk(uint32_t disk, uint64_t offset, uint64_t bytes, uint8_t value) {
  return Submit({blkrep::Request::Kind::kWrite, false, disk, offset, bytes}, blkrep::test::Pattern(bytes, value));
}

bool FakeGuest::ZeroDisk(uint32_t disk, uint64_t offset, uint64_t bytes) {
  return Submit({blkrep::Request::Kind::kZero, true, disk, offset, bytes}, {});
}

void FakeGuest::StartDiskCopy(uint32_t disk) {
  copies_started++;
  copying_[disk] = true;
  PumpCopy(disk);
}

void FakeGuest::PumpCopy(uint32_t disk) {
  while (copying_[disk] && replicator() != nullptr) {
    {
      std::lock_guard lock(mutex_);
      if (disk_busy_[disk]) return;  // its completion comes back here
    }
    auto piece = replicator()->NextCopy(disk);
    if (!piece) {
      copying_[disk] = false;
      return;
    }
    const uint8_t* data = disk_data_[disk].data() + piece->offset;
    bool zero = std::all_of(data, data + piece->bytes, [](uint8_t octet) { return octet == 0; });
    (void)replicator()->SendCopy(disk, *piece, zero ? nullptr : data, nullptr, nullptr);
  }
}

void FakeGuest::Step(std::mt19937& random) {
  HAVEN_ASSERT(running_);
  for (unsigned i = random() % 8; i > 0; i--) {
    auto region = static_cast<uint32_t>(random() % 2);
    WritePage(region, random() % regions_[region].pages(), static_cast<uint8_t>(random() % 4));
  }
  auto disk = static_cast<uint32_t>(random() % disk_data_.size());
  uint64_t offset = random() % (disk_data_[disk].size() - 10000);
  switch (random() % 4) {
    case 0: WriteDisk(disk, offset, 1 + random() % 10000, static_cast<uint8_t>(random())); break;
    case 1: ZeroDisk(disk, offset, 1 + random() % 10000); break;
    default: break;
  }
  if (random() % 2 == 0) SendFrameOut("frame " + std::to_string(random()));
}

GuestState FakeGuest::Now() const { return {memory_, {}, disk_data_}; }

std::vector<blkrep::DiskReplicator::Disk> FakeGuest::DiskList() const {
  std::vector<blkrep::DiskReplicator::Disk> list;
  for (size_t i = 0; i < disk_data_.size(); i++) list.push_back({"vd" + std::string(1, 'a' + i), disk_data_[i].size()});
  return list;
}

// --- FakeActivator ------------------------------------------------------------

GuestState StateOf(const memrep::GuestImage& image, const std::vector<std::string>& replica_paths) {
  GuestState state;
  for (const auto& region : image.regions()) state.memory.emplace_back(region.data, region.data + region.bytes);
  state.device = image.device_state();
  for (const auto& path : replica_paths) state.disks.push_back(blkrep::test::ReadFile(path));
  return state;
}

Status FakeActivator::MayStart() {
  std::lock_guard lock(mutex_);
  return may_start;
}

Status FakeActivator::Prepare(const memrep::GuestImage& image) {
  on_prepare();
  std::lock_guard lock(mutex_);
  HAVEN_ASSERT(image_ == nullptr);
  HAVEN_RETURN_IF_ERROR(prepare_fails);
  image_ = &image;
  prepared_++;
  return Status::Ok();
}

Status FakeActivator::TryLoad(const memrep::GuestImage& image) {
  {
    std::lock_guard lock(mutex_);
    HAVEN_ASSERT(image_ == &image && !running_ && !in_trial_ && image.epoch() != kSyncEpoch);
    trials_++;
    in_trial_ = true;
  }
  Status tried = on_try();
  std::lock_guard lock(mutex_);
  in_trial_ = false;
  return tried;
}

Status FakeActivator::Activate(const memrep::GuestImage& image) {
  std::lock_guard lock(mutex_);
  HAVEN_ASSERT(!in_trial_);
  HAVEN_ASSERT(image_ == &image);
  activations_++;
  on_start();
  HAVEN_RETURN_IF_ERROR(activate_fails);
  started_ = StateOf(image, replica_paths);
  started_paused_ = image.guest_paused();
  started_run_ = image.guest_run();
  running_ = true;
  return Status::Ok();
}

Status FakeActivator::Boot() {
  std::lock_guard lock(mutex_);
  HAVEN_ASSERT(image_ == nullptr && !running_);
  boots_++;
  on_start();
  HAVEN_RETURN_IF_ERROR(boot_fails);
  running_ = true;
  return Status::Ok();
}

int FakeActivator::boots() const {
  std::lock_guard lock(mutex_);
  return boots_;
}

int FakeActivator::trials() const {
  std::lock_guard lock(mutex_);
  return trials_;
}

void FakeActivator::Discard() {
  on_discard();
  std::lock_guard lock(mutex_);
  HAVEN_ASSERT(!in_trial_);
  image_ = nullptr;
}

bool FakeActivator::Running() {
  std::lock_guard lock(mutex_);
  return running_;
}

GuestState FakeActivator::started() const {
  std::lock_guard lock(mutex_);
  return started_;
}

bool FakeActivator::started_paused() const {
  std::lock_guard lock(mutex_);
  return started_paused_;
}

wire::GuestRun FakeActivator::started_run() const {
  std::lock_guard lock(mutex_);
  return started_run_;
}

int FakeActivator::activations() const {
  std::lock_guard lock(mutex_);
  return activations_;
}

int FakeActivator::prepared() const {
  std::lock_guard lock(mutex_);
  return prepared_;
}

void FakeActivator::PowerOff() {
  std::lock_guard lock(mutex_);
  running_ = false;
}

// --- FakeListener ---------------------------------------------------------------

FakeListener::FakeListener(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  int on = 1;
  (void)setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  HAVEN_ASSERT(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 && listen(fd_, 16) == 0);
  socklen_t size = sizeof(address);
  HAVEN_ASSERT(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Loop(); });
}

FakeListener::~FakeListener() {
  shutdown(fd_, SHUT_RDWR);
  thread_.join();
  close(fd_);
}

void FakeListener::SetGuest(BackupGuest* guest) {
  std::lock_guard lock(mutex_);
  guest_ = guest;
}

void FakeListener::SetClock(Clock& clock) {
  std::lock_guard lock(mutex_);
  clock_ = &clock;
}

void FakeListener::Loop() {
  while (true) {
    int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    std::lock_guard lock(mutex_);
    auto link = std::make_unique<Link>(fd, *clock_);
    Record record;
    if (guest_ == nullptr || !link->Receive(record, milliseconds(5000)).ok()) continue;
    auto hello = wire::DecodeHello(record.body);
    (void)Guarded([&] {
      if (hello.ok()) guest_->Attach(std::move(link), hello.value());
      return Status::Ok();
    });
  }
}

int ConnectTo(const std::string& port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(port)));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  HAVEN_ASSERT(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  return fd;
}

}  // namespace haven::session::test
