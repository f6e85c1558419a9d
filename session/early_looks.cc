// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/early_looks.h"

#include <algorithm>
#include <utility>

namespace haven::session {
namespace {

constexpr microseconds kShortRun{10'000};

}  // namespace

void EarlyLooks::Begin(bool may) {
  may_ = may;
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
  left_ = 2;
  next_ = resumed + run / 2;
  last_look_ = resumed + run * 7 / 8;
}

AfterHarvest EarlyLooks::After(AfterHarvest otherwise) {
  const AfterHarvest after = wanted_ ? AfterHarvest::kForget : otherwise;
  forgotten_ = after == AfterHarvest::kForget;
  return after;
}

Status EarlyLooks::Look(PrimaryConnection& connection, MemorySender& sender, Epoch epoch, const EpochDue& due) {
  left_--;
  next_ = last_look_;
  checkpointer_.Prepare(AfterHarvest::kForget);
  HAVEN_RETURN_IF_ERROR(CallMain(main_, connection, [&] {
    const Instant start = clock_.Now();
    const Status read = checkpointer_.Harvest();
    looked_ += MicrosSince(start, clock_.Now());
    return read;
  }));
  PageSets& pages = checkpointer_.bitmaps();
  checkpointer_.early().Look(pages);
  auto sent = sender.SendEarly(epoch, pages, [&] { return connection.IsDue(due); });
  if (!sent.ok()) return sent.status();
  sent_ += sent.value();
  checkpointer_.early().Keep(pages);
  if (left_ != 0 && clock_.Now() >= next_) left_ = 0;  // it took too long for another one
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
