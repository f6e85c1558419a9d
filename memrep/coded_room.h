/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_MEMREP_CODED_ROOM_H
#define HAVEN_MEMREP_CODED_ROOM_H

#include "memrep/compression.h"
#include "memrep/delta_layout.h"
#include "memrep/page_codec.h"

// Private to the encoder: where in EncodedPages::coded it puts what it codes. There
// is room for the worst case of every page: nothing may move while spans point to it.

namespace haven::memrep {

/// What one worker does in one go.
constexpr size_t kPartPages = 64;
constexpr size_t kPartBytes = kPartPages * (kPageBytes + kCompressedHeadBytes) + kDeltaSlackBytes;
constexpr size_t kParts = wire::kMaxPagesPerRecord / kPartPages;
constexpr size_t kPackedBytes = kPageBytes + kCompressedHeadBytes;
constexpr size_t kWholesAt = kParts * kPartBytes;
constexpr size_t kKeptHeadsAt = kWholesAt + wire::kMaxPagesPerRecord * kPackedBytes;

/// @param keeping  pages may be kept for other guests.
inline void MakeRoom(EncodedPages& record, bool keeping) {
  record.coded.Reserve(kKeptHeadsAt + (keeping ? wire::kMaxPagesPerRecord * kKeptHeadBytes : 0));
}

/// For the pages of a part that travel alone: kPartBytes.
inline uint8_t* PartRoom(EncodedPages& record, size_t part) { return record.coded.data() + part * kPartBytes; }
/// For one of the others: kPackedBytes.
inline uint8_t* WholeRoom(EncodedPages& record, size_t whole) {
  return record.coded.data() + kWholesAt + whole * kPackedBytes;
}
/// For what stands in front of it when it is kept: kKeptHeadBytes.
inline uint8_t* KeptHeadRoom(EncodedPages& record, size_t whole) {
  return record.coded.data() + kKeptHeadsAt + whole * kKeptHeadBytes;
}

}  // namespace haven::memrep

#endif
