// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/main_progress.h"

#include <algorithm>
#include <limits>

#include "core/threads.h"

namespace haven::session {

struct MainProgress::Shared {
  Mutex mutex;
  bool asked = false;
  Instant since{};
  wire::GuestRun run = wire::GuestRun::kUnknown;
};

MainProgress::MainProgress(MainThread& main, Guest& guest, Clock& clock)
    : main_(main), guest_(guest), clock_(clock), shared_(std::make_shared<Shared>()) {}

wire::Liveness MainProgress::Look() {
  const Instant now = clock_.Now();
  std::unique_lock lock(shared_->mutex);
  wire::Liveness liveness{0, shared_->run};
  if (shared_->asked) {
    constexpr int64_t kMost = std::numeric_limits<uint32_t>::max();
    const int64_t stalled = std::chrono::duration_cast<milliseconds>(now - shared_->since).count();
    liveness.stalled_ms = static_cast<uint32_t>(std::clamp<int64_t>(stalled, 0, kMost));
    return liveness;
  }
  shared_->asked = true;
  shared_->since = now;
  lock.unlock();
  main_.Post([shared = shared_, &guest = guest_] {
    const wire::GuestRun run = guest.RunState();
    const std::lock_guard answered(shared->mutex);
    shared->asked = false;
    shared->run = run;
  });
  return liveness;
}

}  // namespace haven::session
