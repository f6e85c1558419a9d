/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_SIM_DEVICE_MODEL_H
#define HAVEN_TESTS_SIM_DEVICE_MODEL_H

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "memrep/guest_image.h"
#include "session/guest.h"
#include "session/primary_session.h"
#include "session/start_gate.h"
#include "tests/sim/checker.h"
#include "tests/sim/model_state.h"
#include "tests/sim/world.h"

namespace haven::sim {

/// A process that runs the guest on one host, as QEMU with HAVEN in it would: from the disk there, behind the
/// start gate, or from a checkpoint that the backup gives it.
class DeviceModel final : public session::Guest, private session::StartGate::Listener {
 public:
  /// Switches the guest on, as a person or a boot script does. @param protect  to the other host, once it runs.
  static void SwitchOn(World& world, Host& host, bool protect);
  /// By the backup. @param image  nullptr: from the disk alone. @return why not.
  static Status Activate(World& world, Host& host, const memrep::GuestImage* image);

  DeviceModel(World& world, Process& process, bool incoming);
  ~DeviceModel() override;

  Process& process() const { return process_; }
  /// Started by the backup of its host.
  bool incoming() const { return incoming_; }
  bool running() const { return running_ && !halted_; }
  bool halted() const { return halted_; }
  bool started() const { return !regions_.empty(); }  ///< it ran, or does
  /// Its state as the session has said it last.
  const std::optional<session::PrimaryState>& session_state() const { return session_state_; }

  /// Any thread of the world: runs fn on the main thread.
  void Post(std::function<void()> fn);
  /// Its output waits until somebody says that it may go on alone.
  bool WaitsForWord() const { return waits_for_word_; }
  /// It lives, and gets nowhere: its main thread, or a checkpoint, has waited for so long.
  Duration Stuck() const;
  /// It is stuck, and the session has had the time to see it: it may neither ask who goes on, nor go on alone.
  bool MustNotDecide() const;
  /// The main thread stands still for so long.
  void HangMain(Duration time);
  /// A client's request has reached this host. @param last  it is to do all up to this one.
  void Request(uint64_t number, uint64_t last);
  const session::ModeSettings& mode() const { return mode_; }
  // Main thread: what persons order.
  void Protect();
  void SetMode(const session::ModeSettings& mode);
  /// @param off  how long a guest that is powered off stays so.
  void End(wire::Goodbye reason, Duration off = {});
  void Adopt();
  /// Main thread: looks whether all is there that was acknowledged.
  void Audit();

  // session::Guest
  void RunOnMain(void (*fn)(void*), void* arg) override;
  const std::vector<memrep::MemoryRegion>& regions() const override { return regions_; }
  Status SetDirtyLog(bool on) override;
  Status HarvestDirty(size_t region, std::span<uint64_t> bitmap, session::AfterHarvest after) override;
  Result<bool> MakeReady() override;
  milliseconds DiskStall() override;
  Result<bool> Stop() override;
  void Resume() override;
  Status SaveDeviceState(Bytes& out) override;
  void SendFrame(const netrep::Frame& frame) override;
  void ReleaseOutput() override;
  void ReleaseAllOutput() override;
  void StartDiskCopy(uint32_t disk) override;
  void StateChanged(const session::PrimaryStatus& status) override;
  void Halt() override;
  void Ended() override;

 private:
  void Loop();
  void GateChanged(bool open, const std::string& message) override;
  void BootFromDisk(bool protect);
  Status OpenDisks();
  /// After a start without memory.
  void Repair();
  void Go();

  void BeginNext();
  void DoStep();
  void StepDone();
  void Advance();
  bool WriteLocally(const ModelState::Write& write);
  /// Does it at once, or on a thread of its own when the disk answers again; then the disk's part of the step is done.
  void OnOwnDisk(std::function<void()> request);
  void Settled();
  bool Holds(const iovec& frame);
  /// Its protection was ended between the hand-over's last word and the answer.
  bool HandsOver();
  void HasEnded();
  void SendReply(uint64_t number);
  void Leave(Checker::Leave why);
  void PumpCopy(uint32_t disk);
  static void RequestDone(void* model);

  World& world_;
  Process& process_;
  const bool incoming_;
  int fds_[kDisks] = {-1, -1};
  bool running_ = false, halted_ = false, protect_ = false, powered_off_ = false;
  bool ended_ = false;  ///< protection was, by a person's order
  bool waits_for_word_ = false;
  std::unique_ptr<session::StartGate> gate_;
  std::unique_ptr<session::PrimarySession> session_;
  std::optional<session::PrimaryState> session_state_;
  session::ModeSettings mode_;
  wire::Token life_{};
  Duration off_{};

  ModelState state_;
  std::vector<memrep::MemoryRegion> regions_;
  std::vector<std::vector<uint64_t>> dirty_;
  bool log_on_ = false, copying_[kDisks] = {};
  unsigned unfinished_ = 0;  ///< requests to the disk
  unsigned parts_ = 0;       ///< of the last one: this host's disk, and the backup's
  // Since when, of the world's clock.
  std::optional<Instant> disk_since_;      ///< this host's disk has not answered it
  std::optional<Instant> settling_since_;  ///< a checkpoint waits for it
  std::optional<Instant> main_since_;      ///< the main thread stands still
  bool told_of_stall_ = false;             ///< the session knows that the disk hangs for which a checkpoint waits
  uint64_t wanted_ = 0;                    ///< the last operation that was ordered
  std::vector<Reply> leaving_;
  std::mutex queue_lock_;  ///< who posts something comes before what it does
  std::deque<std::function<void()>> queue_;
};

}  // namespace haven::sim

#endif
