/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_INCOMING_STREAM_H
#define HAVEN_HAVEND_INCOMING_STREAM_H

#include <string>
#include <vector>

#include "core/bytes.h"
#include "core/status.h"

namespace haven::havend {

/// Memory that QEMU gets through the stream because it cannot be shared with
/// it: option ROMs, video memory, ACPI tables.
struct StreamRegion {
  std::string name;  ///< QEMU's name of the RAM block, at most 255 octets
  const uint8_t* data = nullptr;
  uint64_t bytes = 0;  ///< a multiple of kPageBytes
};

/// Makes QEMU's incoming migration stream out of a guest image: a
/// configuration section, a "ram" section (format 4) with `regions` only,
/// and the device sections.
/// @param machine  name of the machine type as QEMU resolves it, e.g. "pc-i440fx-7.2".
/// @param device_state  a qemu_save_device_state() stream; untrusted.
/// @return kProtocol when device_state is no such stream.
/// Source: QEMU's docs/devel/migration.rst, migration/savevm.c, migration/ram.c.
Result<Bytes> ComposeIncomingStream(const std::string& machine, const std::vector<StreamRegion>& regions,
                                    ByteSpan device_state);

}  // namespace haven::havend

#endif
