// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/policy/adaptive.h"

namespace haven::session {
namespace {

/// What belongs to the first frame of a reply comes with it.
constexpr microseconds kWindow{300};
/// Fewer pages say nothing of what one costs.
constexpr uint64_t kManyPages = 64;
constexpr double kLongestRunUs = 1e9;
/// What memory may take of the time of the link, in percent: the rest is for what is beside it.
constexpr uint64_t kLinkShare = 90;
/// For how much of the time the backup may be busy: a queue of epochs that has formed there has to become shorter.
constexpr uint64_t kBackupShare = 75;

template <typename Recent>
microseconds Micros(const Recent& of) {
  return microseconds(of.Median());
}

}  // namespace

void Adaptive::NoteCommitted(const EpochFigures& epoch) {
  commit_us_.Add(static_cast<uint64_t>(epoch.commit.count()));
  backup_us_.Add(static_cast<uint64_t>((epoch.decode + epoch.apply).count()));
}

void Adaptive::NoteTaken(const EpochFigures& epoch) {
  settle_us_.Add(static_cast<uint64_t>(epoch.settle.count()));
  busy_percent_.Add(static_cast<uint64_t>(epoch.busy_percent));
  pause_us_.Add(static_cast<uint64_t>(epoch.pause.count()));
  transfer_us_.Add(static_cast<uint64_t>(epoch.transfer.count()));
  const microseconds for_pages = epoch.harvest + epoch.copy;
  fixed_us_.Add(static_cast<uint64_t>((epoch.pause - for_pages).count()));
  if (epoch.pages >= kManyPages) {
    ns_per_page_.Add(static_cast<uint64_t>(for_pages.count()) * 1000 / epoch.pages);
  }
  NotePages(epoch);
}

/// The pages of an epoch grow with its time, and the more slowly the longer it is: what is too long is shortened by
/// more than in proportion.
void Adaptive::NotePages(const EpochFigures& epoch) {
  const uint64_t cost = ns_per_page_.Median();
  if (cost == 0 || epoch.pages == 0) return;
  const microseconds left = std::max(microseconds(0), settings_.pause - Micros(fixed_us_));
  const double share = static_cast<double>(left.count()) * 1000 / static_cast<double>(cost * epoch.pages);
  const double run = static_cast<double>(epoch.ran.count()) * (share < 0.95 ? share * share : share);
  last_run_us_ = static_cast<uint64_t>(std::min(run, kLongestRunUs));
  run_us_.Add(*last_run_us_);
}

EpochDue Adaptive::Next(Instant resumed) {
  const microseconds pause = Micros(pause_us_);
  const microseconds stop = Micros(settle_us_) + pause;
  const microseconds longest = std::max(microseconds(0), microseconds(settings_.max_age) - stop);
  // One that waits for its clients, or its disk, loses nothing meanwhile.
  const auto limit = static_cast<int64_t>(settings_.overhead_percent);
  const microseconds for_overhead = pause * (static_cast<int64_t>(busy_percent_.Median()) - limit) / limit;
  const microseconds for_link = Micros(transfer_us_) * 100 / kLinkShare;
  const microseconds for_backup = Micros(backup_us_) * 100 / kBackupShare - stop;
  const microseconds at_least = std::min(longest, std::max({microseconds(0), for_overhead, for_link, for_backup}));
  const microseconds for_latency = settings_.latency - stop - Micros(commit_us_) - kWindow;
  microseconds for_pause = longest;
  if (last_run_us_) for_pause = microseconds(std::min(run_us_.Median(), *last_run_us_));
  const microseconds at_most = std::clamp(for_pause, at_least, longest);
  return {resumed + std::clamp(for_latency, at_least, at_most), resumed + at_most, kWindow};
}

}  // namespace haven::session
