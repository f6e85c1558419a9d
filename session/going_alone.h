/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_GOING_ALONE_H
#define HAVEN_SESSION_GOING_ALONE_H

#include <atomic>
#include <functional>
#include <optional>
#include <string>

#include "session/after_loss.h"
#include "session/output_gate.h"
#include "session/main_thread.h"
#include "session/primary_handshake.h"
#include "session/primary_ledger.h"
#include "session/primary_options.h"
#include "session/stand_still_watch.h"
#include "session/stop_flag.h"

namespace haven::session {

/// Does what Decide() says: asks the backup and the arbiter whether this copy may go on without a
/// backup, writes down that it does, and lets its output leave.
class GoingAlone {
 public:
  /// All outlive it. @param say  any thread: a state and its message, for people.
  GoingAlone(const PrimaryOptions& options, MainThread& main, OutputGate& gate, PrimaryLedger& ledger, StopFlag& stop,
             std::function<void(PrimaryState, const std::string&)> say);

  /// Driver, or the thread that ends the session after it. Until it is decided, as long as that takes.
  /// @param why  the connection ended; of the end, when it is decided, what people are to read.
  /// @return what was done, of {kRetry, kHold, kRelease}, or is to be done: kHalt. Nothing: the session ends.
  std::optional<AfterLoss> Settle(LossFacts facts, const wire::Token& session, std::string& why);

  /// Any thread: a question that has no answer is not asked again; Settle() returns nothing then.
  void AskOnce() { once_ = true; }
  /// Any thread, after the stop flag was set: ends the question that Settle() has just asked.
  void Cancel();

 private:
  /// Keeps the link of a question where Cancel() finds it.
  void Keep(std::shared_ptr<Link> link);
  /// @param why  gets what people are to read of the answer.
  LossFacts::Backup AskTheBackup(std::string& why);
  LossFacts::Arbiter AskTheArbiter(const wire::Token& session, std::string& why);
  /// Before a question that had no answer is asked again. @return false: it is not.
  bool AskAgain(milliseconds pause) { return !once_ && !stop_.SetWithin(clock_, pause); }
  /// Nothing may leave without the backup before a record says that this copy is ahead.
  /// @return false: the session ends.
  bool RecordAlone(int tries);
  /// @param answered  when it was last known that nobody else runs the guest.
  /// @return false: that is too long ago, or this process has stood still since it asked. Nothing: the session ends.
  std::optional<bool> Release(Instant answered, StandStillWatch& watch);

  const PrimaryOptions& options_;
  Clock& clock_;
  MainThread& main_;
  OutputGate& gate_;
  PrimaryLedger& ledger_;
  StopFlag& stop_;
  const std::function<void(PrimaryState, const std::string&)> say_;
  std::atomic<bool> once_{false};

  Mutex mutex_;  ///< guards what follows
  std::shared_ptr<Link> asking_;
};

}  // namespace haven::session

#endif
