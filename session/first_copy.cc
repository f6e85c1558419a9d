// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/first_copy.h"

#include <bit>

namespace haven::session {
namespace {

/// The first copy ends when a round finds no more dirty pages than this ...
constexpr uint64_t kFewDirtyPages = 1024;
/// ... or after this many rounds, for a guest that dirties faster than they travel.
constexpr int kMaxRounds = 8;

uint64_t CountPages(const PageSets& bitmaps) {
  uint64_t pages = 0;
  for (const auto& bitmap : bitmaps) {
    for (uint64_t word : bitmap) pages += static_cast<uint64_t>(std::popcount(word));
  }
  return pages;
}

/// Main thread.
Status Begin(const PrimaryParts& parts) {
  for (uint32_t i = 0; i < parts.disks.disks().size(); i++) parts.guest.StartDiskCopy(i);
  HAVEN_RETURN_IF_ERROR(parts.guest.SetDirtyLog(false));
  HAVEN_RETURN_IF_ERROR(parts.gate.Restart());
  return parts.guest.SetDirtyLog(true);
}

}  // namespace

uint64_t MemoryBytes(const Guest& guest) {
  uint64_t bytes = 0;
  for (const auto& region : guest.regions()) bytes += region.bytes;
  return bytes;
}

Status CopyFirst(const PrimaryParts& parts, PrimaryConnection& c, MemorySender& sender) {
  parts.report.BeginCopy(MemoryBytes(parts.guest), parts.disks.SyncLeftBytes());
  HAVEN_RETURN_IF_ERROR(CallMain(parts.main, c, [&] { return Begin(parts); }));
  Checkpointer& checkpointer = parts.checkpointer;
  for (int round = 0; round < kMaxRounds; round++) {
    checkpointer.Prepare(AfterHarvest::kForget);
    HAVEN_RETURN_IF_ERROR(CallMain(parts.main, c, [&] { return checkpointer.Harvest(); }));
    if (round > 0 && CountPages(checkpointer.bitmaps()) <= kFewDirtyPages) round = kMaxRounds;
    HAVEN_RETURN_IF_ERROR(sender.SendLive(checkpointer.bitmaps(), [&](uint64_t bytes) { parts.report.Copied(bytes); }));
    if (round == 0 && !c.AwaitDisks()) return Ended();
  }
  parts.report.EndCopy();
  return Status::Ok();
}

}  // namespace haven::session
