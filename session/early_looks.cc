// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/early_looks.h"

#include <algorithm>
#include <utility>

namespace haven::session {
namespace {

constexpr microseconds kShortRun{10'000};
/// When in an epoch: most of it is sent with the first one, and little is left for the pause behind the last.
constexpr int kSixteenths[] = {8, 13, 15};

}  // namespace

void EarlyLooks::Begin(bool may, uint64_t guest_pages) {
  may_ = may;
  guest_pages_ = guest_pages;
  forgotten_ = false;
  left_ = 0;
  last_pages_ = sent_ = 0;
  looked_ = microseconds(0);
  checkpointer_.early().Forget();
}

void EarlyLooks::Plan(const EpochDue& due, Instant resumed, bool wanted) {
  wanted_ = wanted && may_ && last_pages_ >= from_pages_;
  left_ = 0;
  if (!wanted_ || !forgotten_) return;
  // Without output it may go on for longer than the last one did; it is not known to.
  const microseconds run =
      std::min(MicrosSince(resumed, due.latest), std::max(MicrosSince(resumed, due.earliest), last_ran_));
  if (run < kShortRun) return;
  left_ = kLooks;
  for (unsigned i = 0; i < kLooks; i++) looks_[i] = resumed + run * kSixteenths[i] / 16;
}

AfterHarvest EarlyLooks::After(AfterHarvest otherwise) {
  const AfterHarvest after = wanted_ ? AfterHarvest::kForget : otherwise;
  forgotten_ = after == AfterHarvest::kForget;
  return after;
}

Status EarlyLooks::Look(PrimaryConnection& connection, MemorySender& sender, Epoch epoch, const EpochDue& due) {
  left_--;
  checkpointer_.Prepare(AfterHarvest::kForget);
  HAVEN_RETURN_IF_ERROR(CallMain(main_, connection, [&] {
    const Instant start = clock_.Now();
    const Status read = checkpointer_.Harvest();
    looked_ += MicrosSince(start, clock_.Now());
    return read;
  }));
  PageSets& pages = checkpointer_.bitmaps();
  checkpointer_.early().Look(pages);
  auto sent = sender.SendEarly(epoch, pages, guest_pages_ - sent_, [&] { return connection.IsDue(due); });
  if (!sent.ok()) return sent.status();
  sent_ += sent.value();
  checkpointer_.early().Keep(pages);
  while (left_ != 0 && clock_.Now() >= *next()) left_--;  // it took too long for that one
  return Status::Ok();
}

void EarlyLooks::Taken(EpochFigures& figures) {
  left_ = 0;
  figures.early_pages = std::exchange(sent_, 0);
  figures.look = std::exchange(looked_, microseconds(0));
  last_pages_ = figures.pages + figures.early_pages;
  last_ran_ = figures.ran;
}

}  // namespace haven::session
