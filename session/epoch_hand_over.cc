// SPDX-License-Identifier: GPL-2.0-or-later
// The part of EpochLoop that gives the guest to the backup by order of a person there.
#include "session/epoch_loop.h"

namespace haven::session {
namespace {

/// A moment that is none for a checkpoint (a reset, a vCPU in a request) passes.
constexpr int kLastEpochTries = 50;
constexpr milliseconds kLastEpochRetry{100};

}  // namespace

Status EpochLoop::HandOver(Way& way) {
  PrimaryConnection& c = *way.connection;
  // The guest runs during this epoch, so that little is left for the last.
  const Status before = OneEpoch(way, Checkpointer::Then::kResume);
  if (!before.ok() && before.code() != StatusCode::kTryAgain) return before;
  HAVEN_RETURN_IF_ERROR(AwaitCommits(way));
  Status last(StatusCode::kTryAgain, "");
  for (int i = 0; i < kLastEpochTries && last.code() == StatusCode::kTryAgain; i++) {
    last = OneEpoch(way, Checkpointer::Then::kStayStopped);
    if (last.code() == StatusCode::kTryAgain) (void)c.Sleep(kLastEpochRetry);
  }
  HAVEN_RETURN_IF_ERROR(last);
  HAVEN_RETURN_IF_ERROR(AwaitCommits(way));
  // Whatever is committed is out: the release was posted before this.
  HAVEN_RETURN_IF_ERROR(CallMain(parts_.main, c, [] { return Status::Ok(); }));
  if (!c.GiveGuest()) return Ended();
  HAVEN_RETURN_IF_ERROR(c.links().control->Send(wire::Type::kGoodbye, kSyncEpoch,
                                                wire::Encode(wire::GoodbyeBody{wire::Goodbye::kHandedOver})));
  if (!c.AwaitHandOver()) return {StatusCode::kPeerLost, "the hand-over was not confirmed"};
  c.Fail({ConnectionEnd::Kind::kPromoted,
          {StatusCode::kRefused, "the guest was handed over to the backup, by order of an administrator there"}});
  return Status::Ok();
}

}  // namespace haven::session
