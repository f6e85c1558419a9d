/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_WAITING_QEMU_H
#define HAVEN_HAVEND_WAITING_QEMU_H

#include <memory>
#include <string>
#include <vector>

#include "core/status.h"
#include "havend/qemu_arguments.h"
#include "memrep/guest_image.h"
#include "os/process.h"
#include "qmp/client.h"

namespace haven::havend {

/// How a guest is started on this host.
struct QemuOptions {
  std::string name;
  std::vector<std::string> command;
  std::string ram_region;
  std::string state_dir;  ///< of this guest: qemu.pid, qemu.log
  std::string qmp_path;
  milliseconds restart_delay{1000};  ///< after a waiting process died; doubles up to a minute

  std::string PidPath() const { return state_dir + "/qemu.pid"; }
  std::string LogPath() const { return state_dir + "/qemu.log"; }
};

/// What a QEMU has come to, whatever was returned.
enum class Reached {
  kNothing,  ///< the image is untouched: another process may start from it
  kMemory,   ///< the image may have been written to
  kGuest,    ///< the guest may have executed something
};

/// A QEMU that sees a guest image's memory and waits for the rest of the
/// guest's state, or waits to be switched on. One thread at a time.
class WaitingQemu {
 public:
  /// Starts it and waits until it answers; what can be done ahead of a
  /// failover is done. @param image  outlives the process, or its memory does.
  static Result<std::unique_ptr<WaitingQemu>> Start(const QemuOptions& options, const memrep::GuestImage& image);
  /// Starts one that has nothing but its disks, for Boot().
  static Result<std::unique_ptr<WaitingQemu>> StartOff(const QemuOptions& options);
  /// Leaves the process alone.
  ~WaitingQemu() = default;

  /// Loads the state, to see whether that can be done: nothing but this process has it then, and its end is all that is
  /// left for it. Takes the image's mutex. @return kRefused: it cannot, or takes too long.
  Status Try(const memrep::GuestImage& image);
  /// Loads the state and lets the guest run (not if it did not run at its
  /// primary: then it stays as it was there); from then on the process belongs to nobody.
  Status Run(const memrep::GuestImage& image, Reached& reached);
  /// Switches the machine on; from then on the process belongs to nobody.
  Status Boot(Reached& reached);

  os::Process& process() { return *process_; }
  const std::string& machine() const { return machine_; }
  /// What the guest can see of the machine, as MACHINE has it.
  const std::string& description() const { return description_; }

 private:
  WaitingQemu(const QemuOptions& options, std::unique_ptr<os::Process> process)
      : options_(options), process_(std::move(process)) {}
  static Result<std::unique_ptr<WaitingQemu>> Spawn(const QemuOptions& options, QemuArguments arguments);
  Status GetReadyToLoad();
  Status Forget();
  Status Describe();
  /// Ok, or that the device model does not know the command that was executed last.
  Status ExplainUnknown(Status status);
  Status Load(const memrep::GuestImage& image);
  Status SendState(const memrep::GuestImage& image);
  Status SendStream(const Bytes& stream);
  Status WaitUntilLoaded();
  Status Keep(Reached& reached);
  /// The process is the guest from now on, for a later havend, too.
  Status RecordGuest();
  Status LetRun(Reached& reached);
  Status LeaveStopped(wire::GuestRun run, Reached& reached);
  Status Resume(Reached& reached);
  /// The process is ended; `status` is why.
  Status EndBecause(Status status);
  /// `status`, or what the process said when it died.
  Status Explain(Status status);

  const QemuOptions options_;
  std::unique_ptr<os::Process> process_;
  std::unique_ptr<qmp::Client> qmp_;
  std::string machine_;
  std::string description_;
};

}  // namespace haven::havend

#endif
