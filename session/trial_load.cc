// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/trial_load.h"

namespace haven::session {

void TrialLoad::Begin(const memrep::GuestImage& image, Done done) {
  End();
  thread_ = Thread([this, &image, done] { done(activator_.TryLoad(image)); }, done);
}

void TrialLoad::End() {
  if (!thread_.joinable()) return;
  activator_.EndTrial();
  thread_.join();
}

}  // namespace haven::session
