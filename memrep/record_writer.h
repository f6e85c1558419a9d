/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_MEMREP_RECORD_WRITER_H
#define HAVEN_MEMREP_RECORD_WRITER_H

#include "memrep/delta_layout.h"
#include "memrep/fgbi_encoder.h"

// Private to the encoder.

namespace haven::memrep {

/// Puts entries and payload into an EncodedPages.
class FgbiEncoder::Writer {
 public:
  Writer(uint32_t region, size_t pages, EncodedPages& out) : out_(out) {
    out.head.resize(wire::kPagesHeadBytes + pages * kEntryBytes);
    out.payload.clear();
    StoreLittle64(out.head.data(), region);
  }

  /// @param payload  stays where it is until the record is sent.
  void Add(wire::PageCode code, uint64_t index, ByteSpan payload) {
    StoreLittle64(&out_.head[wire::kPagesHeadBytes + pages_++ * kEntryBytes],
                  MakePageKey(static_cast<uint32_t>(code), index));
    if (payload.empty()) return;
    bytes_ += payload.size();
    ByteSpan* last = out_.payload.empty() ? nullptr : &out_.payload.back();
    if (last != nullptr && last->data() + last->size() == payload.data()) {
      *last = {last->data(), last->size() + payload.size()};
    } else {
      out_.payload.push_back(payload);
    }
  }
  /// The same, kept in a slot of the backup's store.
  /// @param head  kKeptHeadBytes of room, which stay too.
  void AddKept(uint32_t slot, wire::PageCode code, uint64_t index, ByteSpan payload, uint8_t* head) {
    StoreLittle32(head, slot);
    head[4] = static_cast<uint8_t>(code);
    Add(wire::PageCode::kKept, index, {head, kKeptHeadBytes});
    bytes_ += payload.size();
    out_.payload.push_back(payload);
  }
  void Finish() {
    out_.pages = pages_;
    out_.head.resize(wire::kPagesHeadBytes + pages_ * kEntryBytes);
    uint8_t count[8];
    StoreLittle64(count, pages_);
    memcpy(&out_.head[4], count, 4);
    out_.bytes = out_.head.size() + bytes_;
  }

 private:
  static constexpr size_t kEntryBytes = sizeof(uint64_t);

  EncodedPages& out_;
  uint32_t pages_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace haven::memrep

#endif
