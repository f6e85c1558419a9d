/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_TRIAL_LOAD_H
#define HAVEN_SESSION_TRIAL_LOAD_H

#include <functional>

#include "core/threads.h"
#include "memrep/guest_image.h"
#include "session/activator.h"

namespace haven::session {

/// The proof that the guest can go on from a checkpoint here: Activator::TryLoad(), on a thread of its own, while
/// epochs go on coming in. One thread at a time.
class TrialLoad {
 public:
  using Done = std::function<void(const Status& tried)>;

  explicit TrialLoad(Activator& activator) : activator_(activator) {}
  ~TrialLoad() { End(); }

  /// @param image  outlives the trial. @param done  gets what came of it, on the trial's thread.
  void Begin(const memrep::GuestImage& image, Done done);
  /// Until none is under way; one that is ends soon, without a verdict. The activator is the caller's again.
  void End();

 private:
  Activator& activator_;
  Thread thread_;
};

}  // namespace haven::session

#endif
