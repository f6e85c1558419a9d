// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/main_progress.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "core/threads.h"

namespace haven::session {

struct MainProgress::Shared {
  Mutex mutex;
  bool asked = false;
  Instant since{};
  std::optional<Instant> disk_since;  ///< a checkpoint waits for a disk since then
  wire::GuestRun run = wire::GuestRun::kUnknown;
};

MainProgress::MainProgress(MainThread& main, Guest& guest, Clock& clock)
    : main_(main), guest_(guest), clock_(clock), shared_(std::make_shared<Shared>()) {}

wire::Liveness MainProgress::Look() {
  const Instant now = clock_.Now();
  std::unique_lock lock(shared_->mutex);
  const Instant since = std::min(shared_->asked ? shared_->since : now, shared_->disk_since.value_or(now));
  constexpr int64_t kMost = std::numeric_limits<uint32_t>::max();
  const int64_t stalled = std::chrono::duration_cast<milliseconds>(now - since).count();
  const wire::Liveness liveness{static_cast<uint32_t>(std::clamp<int64_t>(stalled, 0, kMost)), shared_->run};
  if (shared_->asked) return liveness;
  shared_->asked = true;
  shared_->since = now;
  lock.unlock();
  main_.Post([shared = shared_, &guest = guest_, &clock = clock_] {
    const wire::GuestRun run = guest.RunState();
    const milliseconds waits = guest.DiskStall();
    const std::lock_guard answered(shared->mutex);
    shared->asked = false;
    shared->disk_since.reset();
    if (waits > milliseconds(0)) shared->disk_since = clock.Now() - waits;
    shared->run = run;
  });
  return liveness;
}

}  // namespace haven::session
