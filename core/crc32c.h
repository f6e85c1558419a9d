/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CORE_CRC32C_H
#define HAVEN_CORE_CRC32C_H

#include "core/bytes.h"

namespace haven {

/// CRC-32C (Castagnoli, reflected, initial and final complement), as in
/// RFC 3720. Pure; any thread. Uses the processor's instruction if it has one.
/// @param seed  the CRC of the octets before `in`, 0 at the start.
uint32_t Crc32c(ByteSpan in, uint32_t seed = 0);

/// The same without special instructions; the reference in tests.
uint32_t Crc32cPortable(ByteSpan in, uint32_t seed = 0);

}  // namespace haven

#endif
