// SPDX-License-Identifier: GPL-2.0-or-later
//
// The decoder of a guest's record. The checksum is mended, so that the fuzzer gets past it, unless the
// input is of odd length. What is taken encodes to the same octets.

#include <algorithm>

#include "blkrep/guest_record.h"
#include "core/assert.h"
#include "core/crc32c.h"

using namespace haven;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* octets, size_t size) {
  Bytes file(octets, octets + size);
  if (size >= 8 && size % 2 == 0) {
    const uint32_t crc = Crc32c(ByteSpan(file).subspan(8), Crc32c(ByteSpan(file).first(4)));
    for (size_t i = 0; i < 4; i++) file[4 + i] = static_cast<uint8_t>(crc >> (8 * i));
  }
  auto record = blkrep::DecodeGuestRecord(file);
  if (!record.ok()) {
    HAVEN_ASSERT(record.status().code() == StatusCode::kInvalid && !record.status().message().empty());
    return 0;
  }
  HAVEN_ASSERT(blkrep::Encode(record.value()) == file);
  HAVEN_ASSERT(record.value().lineage.generations().size() <= Lineage::kMaxAncestors + 1);
  return 0;
}
