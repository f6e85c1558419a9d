/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_XEN_LIBXC_HYPERVISOR_H
#define HAVEN_XEN_LIBXC_HYPERVISOR_H

#include <memory>

#include "xen/hypervisor.h"

namespace haven::xen {

/// The Hypervisor over libxenctrl, libxenguest and libxenforeignmemory.
/// @return kEnvironment with errno, e.g. when this is no Xen host.
Result<std::unique_ptr<Hypervisor>> OpenLibxc(uint32_t domid);

}  // namespace haven::xen

#endif
