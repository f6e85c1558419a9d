/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_QEMU_PROCESS_H
#define HAVEN_HAVEND_QEMU_PROCESS_H

#include <memory>
#include <mutex>
#include <string>

#include "core/threads.h"
#include "havend/waiting_qemu.h"
#include "os/interrupt.h"
#include "session/activator.h"

namespace haven::havend {

/// The Activator of the embedded accelerator: keeps a QEMU waiting for each
/// image and starts it again when it dies; a load that fails is tried once
/// more with a fresh process. After Activate() or Boot() the process belongs to
/// nobody and havend may end without harm to the guest.
/// Calls one at a time, from any thread, as Activator says.
class QemuProcess : public session::Activator {
 public:
  explicit QemuProcess(QemuOptions options);
  /// Ends a QEMU that waits; a guest that runs goes on.
  ~QemuProcess() override;

  /// Once, before all else: ends what an earlier havend left waiting, and
  /// finds the guest that an earlier havend promoted.
  Status Recover();

  Status MayStart() override;
  Status Prepare(const memrep::GuestImage& image) override;
  std::string Machine() override;
  Status TryLoad(const memrep::GuestImage& image) override;
  Status Activate(const memrep::GuestImage& image) override;
  Status Boot() override;
  void Discard() override;
  bool Running() override { return RunningPid() != 0; }

  /// The process that runs the guest, 0 when it does not run here. Any thread.
  pid_t RunningPid();

 private:
  enum class Phase { kIdle, kWaiting, kRunning };

  Status RefuseIfRunning();
  Status StartLocked();
  /// Unless one waits.
  Status StartMissingLocked();
  Status TryLoadLocked(const memrep::GuestImage& image, bool& died);
  Status ActivateLocked();
  Status RunLocked(Reached& reached);
  /// After a Run() or Boot(): watches a guest that may run, which is never
  /// started a second time; ends the process otherwise.
  void SettleLocked(Reached reached);
  void EndProcessLocked();
  void EndWaitingLocked();
  /// Ends the watching thread. Not under mutex_, which that thread takes.
  void StopWatching();
  void StartWatching(int pidfd);
  void Watch(int pidfd);
  void WatchedEnded();
  bool RestartLater(milliseconds& delay);

  const QemuOptions options_;
  std::mutex mutex_;
  Phase phase_ = Phase::kIdle;                 ///< under mutex_
  std::unique_ptr<WaitingQemu> qemu_;          ///< under mutex_; empty if of an earlier havend
  const memrep::GuestImage* image_ = nullptr;  ///< under mutex_; while kWaiting
  pid_t running_pid_ = 0;                      ///< under mutex_; while kRunning
  os::Interrupt stop_;                         ///< the watching thread has to end
  int recovered_pidfd_ = -1;
  Thread watcher_;
};

}  // namespace haven::havend

#endif
