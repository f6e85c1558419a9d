// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/checkpointer.h"

#include <algorithm>

#include "core/failpoint.h"
#include "core/guarded.h"

namespace haven::session {
namespace {

wire::GuestRun RunAt(Guest& guest, bool was_running) {
  if (was_running) return wire::GuestRun::kRunning;
  const wire::GuestRun run = guest.RunState();
  return run == wire::GuestRun::kRunning ? wire::GuestRun::kUnknown : run;
}

}  // namespace

Checkpointer::Checkpointer(Guest& guest, OutputGate& output, blkrep::DiskReplicator& disks, Clock& clock,
                           memrep::WorkerPool* workers)
    : guest_(guest),
      output_(output),
      disks_(disks),
      clock_(clock),
      snapshot_(guest.regions(), workers),
      early_(guest.regions()) {
  for (const auto& region : guest.regions()) bitmaps_.emplace_back(region.bitmap_words());
}

void Checkpointer::Prepare(AfterHarvest after) {
  after_harvest_ = after;
  for (auto& bitmap : bitmaps_) std::fill(bitmap.begin(), bitmap.end(), 0);
  const uint64_t most = most_pages_.Note(clock_.Now(), snapshot_.page_count());
  snapshot_.Clear();
  // Take() says whether what there is is not enough.
  (void)snapshot_.Reserve(std::max(kWarmPages, most * 2));
}

Status Checkpointer::Harvest() {
  for (size_t i = 0; i < bitmaps_.size(); i++)
    HAVEN_RETURN_IF_ERROR(guest_.HarvestDirty(i, bitmaps_[i], after_harvest_));
  return Status::Ok();
}

Status Checkpointer::SaveState(Checkpoint& out, Instant stopped) {
  FailPoint("before-device");
  out.device_state.clear();
  out.device_state.reserve(most_device_bytes_ * 2);
  // Saved first: saving may still write to guest memory.
  HAVEN_RETURN_IF_ERROR(guest_.SaveDeviceState(out.device_state));
  FailPoint("after-device");
  Instant saved = clock_.Now();
  HAVEN_RETURN_IF_ERROR(Harvest());
  early_.End(bitmaps_);
  Instant harvested = clock_.Now();
  FailPoint("before-copy");
  for (uint32_t i = 0; i < bitmaps_.size(); i++) HAVEN_RETURN_IF_ERROR(snapshot_.Copy(i, bitmaps_[i]));
  FailPoint("after-copy");
  out.figures.device = MicrosSince(stopped, saved);
  out.figures.harvest = MicrosSince(saved, harvested);
  out.figures.copy = MicrosSince(harvested, clock_.Now());
  out.figures.pages = snapshot_.page_count();
  most_device_bytes_ = std::max(most_device_bytes_, out.device_state.size());
  return Status::Ok();
}

Status Checkpointer::SaveAndCut(Checkpoint& out, Instant stopped, const std::function<void()>& cut) {
  HAVEN_RETURN_IF_ERROR(SaveState(out, stopped));
  auto epoch = output_.Cut();
  if (!epoch.ok()) return epoch.status();
  out.epoch = epoch.value();
  out.disk_records = disks_.Cut();
  // Here: letting the guest run may have it send something, which is of the next epoch.
  output_.Close();
  cut();
  return Status::Ok();
}

int64_t Checkpointer::BusyPercent() {
  const auto cpu = guest_.CpuTime();
  const Instant now = clock_.Now();
  const auto worked = cpu && cpu_ ? *cpu - *cpu_ : microseconds::max() / 100;
  const auto passed = std::max(microseconds(1), MicrosSince(cpu_seen_, now));
  cpu_ = cpu;
  cpu_seen_ = now;
  return std::clamp<int64_t>(worked * 100 / passed, 0, 100);
}

Status Checkpointer::Take(Checkpoint& out, Then then, const std::function<void()>& cut) {
  FailPoint("before-stop");
  const int64_t busy = BusyPercent();
  Instant start = clock_.Now();
  auto was_running = guest_.Stop();
  if (!was_running.ok()) return was_running.status();
  FailPoint("after-stop");
  Instant stopped = clock_.Now();
  out.figures = {};
  out.figures.busy_percent = busy;
  out.guest_paused = !was_running.value();
  out.run = RunAt(guest_, was_running.value());

  // Whatever happens the guest runs again.
  const Status saved = Guarded([&] { return SaveAndCut(out, stopped, cut); });
  out.cut = clock_.Now();
  FailPoint("before-resume");
  if (was_running.value() && (then == Then::kResume || !saved.ok())) guest_.Resume();
  FailPoint("after-resume");
  Instant resumed = clock_.Now();
  out.figures.stop = MicrosSince(start, stopped);
  out.figures.resume = MicrosSince(out.cut, resumed);
  out.figures.pause = MicrosSince(start, resumed);
  return saved;
}

}  // namespace haven::session
