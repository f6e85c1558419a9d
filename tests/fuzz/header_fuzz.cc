// SPDX-License-Identifier: GPL-2.0-or-later
//
// DecodeHeader() on any octets, and again with the checksum mended: what it
// takes, it encodes to the same octets.

#include <cstdlib>

#include "core/assert.h"
#include "core/crc32c.h"
#include "core/records.h"

using namespace haven;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* octets, size_t size) {
  (void)wire::DecodeHeader({octets, size}).ok();
  if (size != wire::kHeaderBytes) return 0;
  Bytes mended(octets, octets + size);
  uint32_t crc = Crc32c(ByteSpan(mended).first(28));
  for (size_t i = 0; i < 4; i++) mended[28 + i] = static_cast<uint8_t>(crc >> (8 * i));
  auto header = wire::DecodeHeader(mended);
  if (!header.ok()) {
    HAVEN_ASSERT(header.status().code() == StatusCode::kProtocol);
    return 0;
  }
  HAVEN_ASSERT(header.value().body_bytes <= wire::kMaxBodyBytes);
  HAVEN_ASSERT(header.value().optional || wire::IsKnownType(header.value().type));
  Bytes again;
  wire::EncodeHeader(header.value(), again);
  HAVEN_ASSERT(again == mended);
  return 0;
}
