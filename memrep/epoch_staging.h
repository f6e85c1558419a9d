/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_MEMREP_EPOCH_STAGING_H
#define HAVEN_MEMREP_EPOCH_STAGING_H

#include <vector>

#include "memrep/guest_image.h"
#include "memrep/page_codec.h"

namespace haven::memrep {

/// Collects one epoch's pages and device state until they are known to be
/// complete; only then do they touch the image. Pages of the first
/// synchronisation (kSyncEpoch), which is no state to return to, go into the
/// image at once. Thread: one.
class EpochStaging {
 public:
  explicit EpochStaging(GuestImage& image);

  /// @param body  a PAGES body; taken over. @return kProtocol if it is malformed,
  ///              or the epoch holds more than the guest has.
  Status AddPages(Epoch epoch, Bytes body);
  /// @param body  a DEVICE_STATE body: the pieces come in order.
  Status AddDeviceState(Epoch epoch, ByteSpan body);
  /// Whether what is staged is the whole of `epoch`. @return kProtocol naming the count that differs.
  Status Check(Epoch epoch, const wire::EpochEnd& end) const;
  /// Copies the staged epoch, which Check() accepted, into the image.
  void Apply(Epoch epoch, const wire::EpochEnd& end);
  /// Drops what is staged.
  void Clear();

 private:
  Status Enter(Epoch epoch);
  void Write(const DecodedRecord& record);

  struct StagedRecord {
    Bytes body;  ///< owns what `decoded` points into
    DecodedRecord decoded;
  };

  GuestImage& image_;
  PageDecoder decoder_;
  std::vector<uint8_t*> region_data_;
  uint64_t guest_pages_ = 0;
  Epoch epoch_ = kSyncEpoch;
  std::vector<StagedRecord> staged_;  ///< in the order of coming, which is that of applying
  DecodedRecord sync_record_;
  Bytes device_state_;
  uint64_t device_state_total_ = 0;
  uint64_t pages_ = 0;
  uint32_t records_ = 0;
};

}  // namespace haven::memrep

#endif
