/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_START_GATE_H
#define HAVEN_SESSION_START_GATE_H

#include <memory>
#include <string>
#include <vector>

#include "core/threads.h"
#include "blkrep/guest_record.h"
#include "core/link.h"
#include "session/arbiter.h"

namespace haven::session {

struct GateOptions {
  std::string root;                 ///< the folder of all guests' states
  std::vector<std::string> guests;  ///< names that this guest may have there
  std::vector<std::string> disks;   ///< paths of its writable disks
  milliseconds deadline{1000};      ///< of one question
  Clock* clock = &MonotonicClock();
  Dialer* dialer = &TcpDialer();
  ArbiterChoice arbiter = {};  ///< not empty: asked instead of the one that the record names
};

/// Stands between a device model and its guest's first instruction: a copy that had a backup does
/// not run before it is known that the backup's is not newer. A thread of its own asks the backup
/// until it is.
class StartGate {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    /// Any thread. @param open  the guest may run now; for good.
    /// @param message  else: what it waits for, and the command that decides.
    virtual void GateChanged(bool open, const std::string& message) = 0;
  };

  /// @return nullptr when there is nothing to ask: the guest may run. Blocks for some reads only.
  /// @param listener  outlives the gate.
  static std::unique_ptr<StartGate> Close(GateOptions options, Listener& listener);
  ~StartGate();

  /// What is waited for. Any thread.
  std::string Message();
  /// A person's words. Any thread: this copy counts, whatever the backup has; or: it is thrown away.
  Status Adopt();
  Status Discard();

 private:
  StartGate(GateOptions options, Listener& listener, std::string folder, blkrep::GuestRecord record,
            std::string damage);
  void Run();
  /// One look at the record, and one question. @return whether the guest may run.
  bool TryOnce();
  bool DecideWithout(const blkrep::GuestRecord& record, const std::string& why);
  /// The generation of a copy that goes on without its backup is on disk before.
  /// @param record  that the decision was about. @return false: a person has decided otherwise since, or
  ///                it cannot be written.
  bool OpenAlone(Origin origin, blkrep::GuestRecord record);
  /// havend may have changed the record since: it is this host's, not ours alone.
  void Reload();
  void Say(const std::string& message);
  void TellOpen();
  bool Ending();

  const GateOptions options_;
  Listener& listener_;
  const std::string folder_;
  const Instant since_;

  Mutex decide_mutex_;  ///< one decision at a time; held across its I/O

  Mutex mutex_;  ///< guards what follows
  Condition changed_;
  blkrep::GuestRecord record_;
  std::string message_;
  bool open_ = false, ending_ = false;
  bool damaged_;
  Thread thread_;
};

}  // namespace haven::session

#endif
