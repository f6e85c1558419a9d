/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_MEMREP_GUEST_IMAGE_H
#define HAVEN_MEMREP_GUEST_IMAGE_H

#include <memory>
#include <string>
#include <vector>

#include "core/bytes.h"
#include "core/epoch.h"
#include "core/records.h"
#include "core/status.h"

namespace haven::memrep {

/// The backup's copy of a guest: memory and device state of the last
/// committed epoch. Filled by EpochStaging, read by whoever activates the guest.
/// Thread: one at a time.
class GuestImage {
 public:
  struct Region {
    std::string name;
    uint8_t* data = nullptr;  ///< `bytes` octets, zero at first
    uint64_t bytes = 0;
    int fd = -1;  ///< the memfd behind a shared region, else -1
  };

  /// Allocates the regions of `layout`.
  /// @param shared_region  lives in a memfd, so that a waiting QEMU can map it.
  /// @param limit_bytes    kRefused if the regions are larger in all.
  static Result<std::unique_ptr<GuestImage>> Create(const wire::Layout& layout,
                                                    const std::string& shared_region,
                                                    uint64_t limit_bytes);
  ~GuestImage();
  GuestImage(const GuestImage&) = delete;
  GuestImage& operator=(const GuestImage&) = delete;

  const std::vector<Region>& regions() const { return regions_; }
  /// As the device model saved it (QEMU: a qemu_save_device_state() stream).
  const Bytes& device_state() const { return device_state_; }
  /// The epoch that this is the state of; kSyncEpoch: none yet, not usable.
  Epoch epoch() const { return epoch_; }
  bool guest_paused() const { return guest_paused_; }

 private:
  friend class EpochStaging;
  GuestImage() = default;

  std::vector<Region> regions_;
  Bytes device_state_;
  Epoch epoch_ = kSyncEpoch;
  bool guest_paused_ = false;
};

}  // namespace haven::memrep

#endif
