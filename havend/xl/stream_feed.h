/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_XL_STREAM_FEED_H
#define HAVEN_HAVEND_XL_STREAM_FEED_H

#include <functional>
#include <string>
#include <vector>

#include "core/epoch.h"
#include "memrep/guest_image.h"
#include "xen/domain_state.h"

namespace haven::havend {

/// Turns a growing guest image into the checkpointed stream of libxl: each
/// checkpoint of the stream is one committed epoch, but not each epoch becomes
/// one, for the receiver may be slower than the primary. One thread.
class StreamFeed {
 public:
  /// Takes octets of the stream; may block; its failure ends the feed.
  using Sink = std::function<Status(ByteSpan)>;
  /// The configuration for the xl header, made of that of the primary.
  using Configure = std::function<Result<std::string>(const std::string& primary)>;

  /// @param image  of which one epoch at least is committed; outlives this.
  /// @return kRefused if it is not the image of a Xen guest.
  static Result<StreamFeed> Create(const memrep::GuestImage& image, Configure configure, Sink sink);
  /// Whether the image can be fed: has exactly the region of a Xen guest.
  static Status CheckImage(const memrep::GuestImage& image);

  /// Sends what has changed up to the last committed epoch, and the checkpoint.
  /// The first call sends everything.
  Status Checkpoint();
  /// All of it as a plain stream of one epoch, with its end; instead of Checkpoint() and End().
  Status Plain();
  /// The epoch of the last Checkpoint().
  Epoch epoch() const { return epoch_; }
  /// The receiver may run the guest now.
  Status End();

 private:
  StreamFeed(const memrep::GuestImage& image, Configure configure, Sink sink);
  Status SendHead();
  /// @param append  what follows the pages of the last committed epoch.
  Status SendEpoch(void (*append)(const xen::DomainState& state, Bytes& out));
  Status SendPages(const std::vector<uint64_t>& frames);
  /// Under the image's mutex.
  Result<xen::DomainState> ReadState() const;
  uint64_t TakeChanges(const xen::DomainState& state);
  void CopyBatch(Bytes& record) const;

  const memrep::GuestImage* image_;
  Configure configure_;
  Sink sink_;
  uint64_t frames_;
  std::vector<uint64_t> todo_;
  std::vector<uint64_t> batch_;
  Epoch epoch_ = kSyncEpoch;
  bool begun_ = false;
};

}  // namespace haven::havend

#endif
