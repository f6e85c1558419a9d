/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_GUEST_H
#define HAVEN_SESSION_GUEST_H

#include <optional>
#include <vector>

#include "core/status.h"
#include "core/wire.h"
#include "memrep/page_snapshot.h"
#include "netrep/output_buffer.h"
#include "session/primary_status.h"

namespace haven::session {

/// What becomes of the record of written pages when it has been read.
enum class AfterHarvest {
  kForget,  ///< only pages written from now on appear in the next harvest
  kKeep,    ///< those of this one appear too, written or not; where a guest's record has no such
            ///< mode, as kForget
};

/// The running guest, as the primary's session sees it. Implemented by capi
/// over the device model's haven_guest_ops, and by a fake in the unit tests.
/// All methods but RunOnMain() are called on the device model's main thread.
class Guest {
 public:
  virtual ~Guest() = default;
  /// Any thread: fn(arg) will run on the main thread, in the order of the calls.
  virtual void RunOnMain(void (*fn)(void*), void* arg) = 0;

  virtual const std::vector<memrep::MemoryRegion>& regions() const = 0;
  virtual Status SetDirtyLog(bool on) = 0;
  /// ORs the pages written since the record was last forgotten into `bitmap`.
  virtual Status HarvestDirty(size_t region, std::span<uint64_t> bitmap, AfterHarvest after) = 0;

  /// Before Stop(), while the guest runs on: requests of its disks that are in flight finish, and a guest that takes
  /// part in its own stop makes itself ready for it. Does not wait.
  /// @return whether Stop() may follow at once; if not, the session is told by
  ///         PrimarySession::GuestReady(). kTryAgain as Stop().
  virtual Result<bool> MakeReady() { return true; }
  /// What it does. kUnknown: the device model does not say.
  virtual wire::GuestRun RunState() { return wire::GuestRun::kUnknown; }
  /// For how long what MakeReady() has asked for has waited for a disk that does not answer; 0: it does not.
  virtual milliseconds DiskStall() { return milliseconds(0); }
  /// CPU time that its vCPUs have used so far; none: not known.
  virtual std::optional<microseconds> CpuTime() { return std::nullopt; }
  /// @return whether the guest was running, i.e. Resume() has to follow;
  ///         kTryAgain when this is no moment for a checkpoint.
  virtual Result<bool> Stop() = 0;
  virtual void Resume() = 0;
  virtual Status SaveDeviceState(Bytes& out) = 0;

  virtual void SendFrame(const netrep::Frame& frame) = 0;
  // Output that does not pass the session, but is held elsewhere.
  /// The guest stands still: what has left it belongs to the epoch that is
  /// about to be cut, and is held, as is what comes from now on.
  virtual Status CutOutput() { return Status::Ok(); }
  /// Lets go what belongs to the epoch that was cut last.
  virtual void ReleaseOutput() {}
  /// Lets go everything, and holds nothing any more.
  virtual void ReleaseAllOutput() {}
  /// Forgets what is held, as a full queue of a network card does, and goes on holding.
  virtual Status DropOutput() { return Status::Ok(); }

  virtual void StartDiskCopy(uint32_t disk) = 0;
  virtual void StateChanged(const PrimaryStatus& status) = 0;
  /// The backup runs the guest: stop this copy for good.
  virtual void Halt() = 0;
  /// What PrimarySession::Stop() has begun is done. The session makes no call after this one, which may free it.
  virtual void Ended() = 0;
};

}  // namespace haven::session

#endif
