/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_XEN_STATE_SAVER_H
#define HAVEN_XEN_STATE_SAVER_H

#include <memory>

#include "xen/guest_memory.h"
#include "xen/hypervisor.h"

namespace haven::xen {

/// Makes the "device state" of an epoch. One thread.
class StateSaver {
 public:
  /// Asks for what does not change. @param hypervisor  outlives this.
  static Result<std::unique_ptr<StateSaver>> Create(Hypervisor& hypervisor);

  /// The domain is paused. Appends a DomainState to `out`.
  /// @param device_model  QEMU's device sections.
  Status Save(const GuestMemory& memory, ByteSpan device_model, Bytes& out);

 private:
  explicit StateSaver(Hypervisor& hypervisor) : hypervisor_(hypervisor) {}
  Status ReadParams();

  Hypervisor& hypervisor_;
  DomainState state_;
  uint64_t generation_ = ~uint64_t{0};  ///< of the memory that state_.populated is of
};

}  // namespace haven::xen

#endif
