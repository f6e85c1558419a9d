/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_MEMORY_SENDER_H
#define HAVEN_SESSION_MEMORY_SENDER_H

#include <functional>

#include "core/link.h"
#include "session/checkpointer.h"
#include "session/recent_median.h"

namespace haven::session {

/// Sends memory over the memory connection: the first copy from the running
/// guest, then each checkpoint. Driver thread only.
class MemorySender {
 public:
  /// @param tell_run  the backup takes what the guest does: the feature GUEST_RUN.
  MemorySender(const std::vector<memrep::MemoryRegion>& regions, memrep::PageEncoder& encoder, RecordSender& link,
               bool tell_run = false)
      : regions_(regions), encoder_(encoder), link_(link), tell_run_(tell_run) {}

  /// Sends pages of the first copy, as they are now; the guest may be
  /// writing to them, then they are dirty again.
  /// @param pages  those; empty afterwards.
  /// @param progress  called with the octets of guest memory done since the last call.
  Status SendLive(PageSets& pages, const std::function<void(uint64_t)>& progress);

  /// Sends pages of an epoch that is not cut, as they are now: they will be sent again if the guest writes to them.
  /// @param pages    those; afterwards the ones that were not sent.
  /// @param most     so many at most.
  /// @param enough  asked again and again whether to leave the rest.
  /// @return how many were sent.
  Result<uint64_t> SendEarly(Epoch epoch, PageSets& pages, uint64_t most, const std::function<bool()>& enough);
  /// Sends what an epoch has, besides what of it was sent early.
  Status SendEpoch(const Checkpoint& checkpoint, const memrep::PageSnapshot& snapshot);
  /// The epoch is complete.
  /// @return the octets of guest memory and device state put on the wire for it.
  Result<uint64_t> SendEnd(const Checkpoint& checkpoint);
  /// For so many octets, at the rate that was measured; 0: none was.
  microseconds TransferTime(uint64_t bytes) const;

 private:
  Status SendPages(Epoch epoch, uint32_t region, std::span<const memrep::PageRef> pages);
  Status SendCopies(Epoch epoch, PageSets& pages, size_t at_once, const std::function<bool(uint64_t)>& go_on);
  Status SendDeviceState(const Checkpoint& checkpoint);

  const std::vector<memrep::MemoryRegion>& regions_;
  memrep::PageEncoder& encoder_;
  RecordSender& link_;
  const bool tell_run_;
  memrep::EncodedPages encoded_;
  // Of the epoch that is not complete.
  uint64_t wire_bytes_ = 0;
  uint64_t entries_ = 0;
  uint32_t records_ = 0;
  RecentMedian<9> rate_;  ///< of the link, octets a second
};

}  // namespace haven::session

#endif
