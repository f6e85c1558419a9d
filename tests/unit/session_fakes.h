/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_UNIT_SESSION_FAKES_H
#define HAVEN_TESTS_UNIT_SESSION_FAKES_H

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "session/backup_guest.h"
#include "session/primary_session.h"

namespace haven::session::test {

/// Waits until `condition`, which another thread makes true, holds.
/// @return false after 30 s, which no working machine needs.
bool Eventually(const std::function<bool()>& condition);

/// A device model's main thread: runs what is posted, in order.
class MainLoop {
 public:
  MainLoop();
  ~MainLoop();
  void Post(std::function<void()> fn);
  /// Any other thread: runs fn there and waits for it.
  void Run(const std::function<void()>& fn);

 private:
  void Loop();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

/// All that a guest is, at one moment.
struct GuestState {
  std::vector<Bytes> memory;
  Bytes device;
  std::vector<Bytes> disks;
  bool operator==(const GuestState&) const = default;
};

/// A guest made of two memory regions, disks, and a device state that counts
/// how often it was saved. All of it lives on one thread, the main thread,
/// except completions of disk requests.
class FakeGuest : public Guest {
 public:
  /// @param loop  where RunOnMain() goes; nullptr: right here.
  explicit FakeGuest(MainLoop* loop, std::vector<uint64_t> disk_bytes = {512 * 1024, 100 * 1024});

  // Guest:
  void RunOnMain(void (*fn)(void*), void* arg) override;
  const std::vector<memrep::MemoryRegion>& regions() const override { return regions_; }
  Status SetDirtyLog(bool on) override;
  Status HarvestDirty(size_t region, std::span<uint64_t> bitmap, AfterHarvest after) override;
  Result<bool> MakeReady() override;
  wire::GuestRun RunState() override { return run_state; }
  milliseconds DiskStall() override { return disk_stall; }
  Result<bool> Stop() override;
  void Resume() override { running_ = true; }
  Status SaveDeviceState(Bytes& out) override;
  void SendFrame(const netrep::Frame& frame) override;
  Status CutOutput() override;
  void ReleaseOutput() override;
  void ReleaseAllOutput() override;
  Status DropOutput() override;
  void StartDiskCopy(uint32_t disk) override;
  void StateChanged(const PrimaryStatus& status) override;
  void Halt() override { halted = true; }
  void Ended() override { ended = true; }

  /// Main thread. What the guest does by itself.
  void WritePage(uint32_t region, uint64_t page, uint8_t value);
  /// @return false if the disk is busy with the write before, which then goes first.
  bool WriteDisk(uint32_t disk, uint64_t offset, uint64_t bytes, uint8_t value);
  bool ZeroDisk(uint32_t disk, uint64_t offset, uint64_t bytes);
  void SendFrameOut(const std::string& text);
  /// Some random of the above.
  void Step(std::mt19937& random);

  GuestState Now() const;
  std::vector<blkrep::DiskReplicator::Disk> DiskList() const;
  /// Any thread: the last state that StateChanged() told.
  PrimaryState last_state();
  /// Any thread: whether StateChanged() ever told `message`.
  bool WasTold(const std::string& message);
  /// Main thread.
  bool running() const { return running_; }
  uint64_t unfinished_writes() const { return unfinished_.load(); }

  /// Main thread: it stops by itself, or an administrator stops it.
  void StopsAs(wire::GuestRun run);

  /// Set before a Call().
  std::atomic<wire::GuestRun> run_state{wire::GuestRun::kRunning};
  std::atomic<milliseconds> disk_stall{milliseconds(0)};
  /// One or the other takes the disk requests and frames; set on the main thread.
  PrimarySession* primary = nullptr;
  blkrep::DiskReplicator* disks = nullptr;

  // Main thread, or when nothing runs.
  std::vector<GuestState> saved;  ///< what the guest was at each SaveDeviceState(); [0] is nothing
  std::function<void(const std::string& text, size_t produced_after)> on_frame;
  std::vector<std::string> frames;
  bool administrator_paused = false;
  Status stop_fails;
  std::function<void()> on_stop = [] {}, on_save = [] {};
  Status cut_output_fails;
  bool ready_at_once = true;              ///< what MakeReady() returns
  std::vector<std::string> output_calls;  ///< cut, release, all, drop
  bool log_on = false;

  std::atomic<bool> halted{false}, ended{false};
  std::atomic<uint64_t> frames_out{0};
  std::atomic<uint64_t> copies_started{0};
  std::atomic<uint64_t> ready_asked{0}, stops{0};

 private:
  struct Write;
  static void WriteDone(void* arg);
  bool Submit(const blkrep::Request& request, const Bytes& data);
  void PumpCopy(uint32_t disk);
  /// nullptr: nobody.
  blkrep::DiskReplicator* replicator() { return primary ? &primary->disks() : disks; }

  MainLoop* loop_;
  std::vector<Bytes> memory_;
  std::vector<memrep::MemoryRegion> regions_;
  std::vector<std::vector<uint64_t>> dirty_;
  std::vector<Bytes> disk_data_;
  std::vector<bool> copying_;
  bool running_ = true;

  std::atomic<uint64_t> unfinished_{0};
  std::mutex mutex_;  ///< guards what follows
  std::condition_variable changed_;
  std::vector<bool> disk_busy_;
  PrimaryState last_state_ = PrimaryState::kConnecting;
  std::vector<std::string> messages_;
};

/// Takes the place of the process that waits for the guest.
class FakeActivator : public Activator {
 public:
  Status MayStart() override;
  Status Prepare(const memrep::GuestImage& image) override;
  std::string Machine() override { return machine; }
  Status TryLoad(const memrep::GuestImage& image) override;
  void EndTrial() override { on_end_trial(); }
  Status Activate(const memrep::GuestImage& image) override;
  Status Boot() override;
  void Discard() override;
  bool Running() override;

  std::vector<std::string> replica_paths;                       ///< what Activate() reads the disks from
  Status may_start, prepare_fails, activate_fails, boot_fails;  ///< set before they are called
  std::string machine;                                          ///< what Machine() says; set before it is called
  std::function<Status()> on_try = [] { return Status(); };     ///< TryLoad()
  std::function<void()> on_end_trial = [] {};
  std::function<void()> on_start = [] {};                        ///< called by Activate() and Boot()
  std::function<void()> on_prepare = [] {}, on_discard = [] {};  ///< called first of all

  GuestState started() const;   ///< what Activate() found
  bool started_paused() const;  ///< whether Activate() was to leave it as it was
  wire::GuestRun started_run() const;
  int activations() const;
  int prepared() const;
  int trials() const;
  int boots() const;
  void PowerOff();

 private:
  mutable std::mutex mutex_;
  const memrep::GuestImage* image_ = nullptr;
  GuestState started_;
  int activations_ = 0, prepared_ = 0, trials_ = 0, boots_ = 0;
  bool in_trial_ = false;
  bool running_ = false, started_paused_ = false;
  wire::GuestRun started_run_ = wire::GuestRun::kUnknown;
};

GuestState StateOf(const memrep::GuestImage& image, const std::vector<std::string>& replica_paths);

/// havend's listener for one guest, on loopback.
class FakeListener {
 public:
  explicit FakeListener(BackupGuest& guest) : FakeListener(0) { SetGuest(&guest); }
  /// @param port  0: any.
  explicit FakeListener(uint16_t port);
  ~FakeListener();
  /// Who gets the connections; nullptr: they are closed.
  void SetGuest(BackupGuest* guest);
  /// Of the connections that come from now on.
  void SetClock(Clock& clock);
  std::string port() const { return std::to_string(port_); }

 private:
  void Loop();
  int fd_;
  uint16_t port_;
  std::mutex mutex_;
  BackupGuest* guest_ = nullptr;
  Clock* clock_ = &MonotonicClock();
  std::thread thread_;
};

/// A socket connected to `port` of loopback.
int ConnectTo(const std::string& port);

}  // namespace haven::session::test

#endif
