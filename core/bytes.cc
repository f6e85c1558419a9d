// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/bytes.h"

#include "core/assert.h"

namespace haven {

void ByteWriter::String(std::string_view s) {
  HAVEN_ASSERT(s.size() <= UINT16_MAX);
  U16(static_cast<uint16_t>(s.size()));
  out_.insert(out_.end(), s.begin(), s.end());
}

ByteSpan ByteReader::Raw(size_t bytes) {
  if (!ok_ || bytes > left()) {
    ok_ = false;
    return {};
  }
  ByteSpan span = in_.subspan(at_, bytes);
  at_ += bytes;
  return span;
}

std::string ByteReader::String() {
  ByteSpan span = Raw(U16());
  return {span.begin(), span.end()};
}

uint64_t ByteReader::Little(size_t bytes) {
  ByteSpan span = Raw(bytes);
  uint64_t v = 0;
  for (size_t i = 0; i < span.size(); i++) v |= static_cast<uint64_t>(span[i]) << (8 * i);
  return v;
}

}  // namespace haven
