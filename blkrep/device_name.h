/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_DEVICE_NAME_H
#define HAVEN_BLKREP_DEVICE_NAME_H

#include <string>

#include "blkrep/open_disk.h"

namespace haven::blkrep {

/// A name of a block device that stays when its number changes: "dm:UUID",
/// "partuuid:UUID", "wwid:...", "serial:...". A device that has none of them gets
/// "boot:BOOT-ID:MAJ:MIN", which no device of a later boot has. Only reads.
std::string LastingDeviceName(const OpenedDisk& device);

}  // namespace haven::blkrep

#endif
