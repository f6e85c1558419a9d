// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/journal_format.h"

#include "core/assert.h"
#include "core/crc32c.h"

namespace haven::blkrep::journal {
namespace {

constexpr size_t kCrcAt = 4;
constexpr size_t kCrcEnd = 8;

/// Of all octets but the checksum's own four.
uint32_t HeaderCrc(ByteSpan header) { return Crc32c(header.subspan(kCrcEnd), Crc32c(header.first(kCrcAt))); }

void FillCrc(Bytes& header) {
  const uint32_t crc = HeaderCrc(header);
  for (size_t i = 0; i < 4; i++) header[kCrcAt + i] = static_cast<uint8_t>(crc >> (8 * i));
}

Status Invalid(const std::string& what) { return Status(StatusCode::kInvalid, what); }

bool IsKnown(uint8_t kind) { return (kind >= 1 && kind <= 3) || (kind >= 16 && kind <= 19); }

Status CheckFields(const RecordHeader& h, uint8_t flags) {
  if ((flags & ~kMayUnmap) != 0 || (h.may_unmap && h.kind != Kind::kZero))
    return Invalid("unknown flags " + std::to_string(flags));
  if (h.epoch > kMaxEpoch) return Invalid("impossible epoch");
  if (h.bytes > INT64_MAX || h.offset > INT64_MAX - h.bytes) return Invalid("its range ends beyond any disk");
  if (h.kind != Kind::kWrite && h.data_crc != 0) return Invalid("a data checksum in a record without data");
  if (!h.IsRequest() && (h.disk != 0 || h.offset != 0 || h.bytes != 0)) return Invalid("a disk range in a mark");
  if ((h.kind == Kind::kDrop || h.kind == Kind::kRelease) && h.epoch != 0)
    return Invalid("an epoch in a mark that has none");
  return Status::Ok();
}

}  // namespace

Request RecordHeader::ToRequest() const {
  HAVEN_ASSERT(IsRequest());
  return {static_cast<Request::Kind>(kind), may_unmap, disk, offset, bytes};
}

RecordHeader RecordHeader::Of(Epoch epoch, const Request& request) {
  RecordHeader h;
  h.kind = static_cast<Kind>(request.kind);
  h.may_unmap = request.may_unmap && request.kind == Request::Kind::kZero;
  h.epoch = epoch;
  h.disk = request.disk;
  h.offset = request.offset;
  h.bytes = request.bytes;
  return h;
}

Bytes Encode(const FileHeader& h) {
  Bytes out;
  out.reserve(kFileHeaderBytes);
  ByteWriter w(out);
  w.U32(kFileMagic);
  w.U32(0);  // checksum
  w.U16(kVersion);
  w.U16(h.needs_previous ? kNeedsPrevious : 0);
  w.U32(0);
  w.U64(h.generation);
  w.U64(h.first_sequence);
  w.U64(h.open_epoch);
  w.U64(h.unapplied_epoch);
  w.U64(0);
  w.U64(0);
  HAVEN_ASSERT(out.size() == kFileHeaderBytes);
  FillCrc(out);
  return out;
}

Bytes Encode(const RecordHeader& h) {
  Bytes out;
  out.reserve(kRecordHeaderBytes);
  ByteWriter w(out);
  w.U32(kRecordMagic);
  w.U32(0);  // checksum
  w.U64(h.sequence);
  w.U64(h.epoch);
  w.U8(static_cast<uint8_t>(h.kind));
  w.U8(h.may_unmap ? kMayUnmap : 0);
  w.U16(0);
  w.U32(h.disk);
  w.U64(h.offset);
  w.U64(h.bytes);
  w.U32(h.data_crc);
  w.U32(0);
  HAVEN_ASSERT(out.size() == kRecordHeaderBytes);
  FillCrc(out);
  return out;
}

bool RecordChecks(ByteSpan in) {
  HAVEN_ASSERT(in.size() == kRecordHeaderBytes);
  ByteReader r(in);
  if (r.U32() != kRecordMagic) return false;
  return r.U32() == HeaderCrc(in);
}

Result<FileHeader> DecodeFileHeader(ByteSpan in) {
  HAVEN_ASSERT(in.size() == kFileHeaderBytes);
  ByteReader r(in);
  if (r.U32() != kFileMagic) return Invalid("it is not a HAVEN journal");
  if (r.U32() != HeaderCrc(in)) return Invalid("its header is damaged");
  const uint16_t version = r.U16();
  if (version != kVersion) {
    return Invalid("it has format version " + std::to_string(version) + ", this program reads version " +
                   std::to_string(kVersion));
  }
  const uint16_t flags = r.U16();
  const uint32_t reserved = r.U32();
  FileHeader h;
  h.needs_previous = (flags & kNeedsPrevious) != 0;
  h.generation = r.U64();
  h.first_sequence = r.U64();
  h.open_epoch = r.U64();
  h.unapplied_epoch = r.U64();
  if ((flags & ~kNeedsPrevious) != 0 || reserved != 0 || r.U64() != 0 || r.U64() != 0)
    return Invalid("its header has reserved bits set");
  // Both only count up, from 1: no writer lives long enough to see half of them.
  const bool counted = h.generation - 1 < INT64_MAX && h.first_sequence - 1 < INT64_MAX;
  if (!counted || h.unapplied_epoch > h.open_epoch) return Invalid("its header contradicts itself");
  return h;
}

Result<RecordHeader> DecodeRecordHeader(ByteSpan in) {
  HAVEN_ASSERT(in.size() == kRecordHeaderBytes);
  ByteReader r(in);
  r.U64();  // magic and checksum
  RecordHeader h;
  h.sequence = r.U64();
  h.epoch = r.U64();
  const uint8_t kind = r.U8();
  const uint8_t flags = r.U8();
  const uint16_t reserved16 = r.U16();
  h.disk = r.U32();
  h.offset = r.U64();
  h.bytes = r.U64();
  h.data_crc = r.U32();
  const uint32_t reserved32 = r.U32();
  if (!IsKnown(kind)) return Invalid("unknown kind " + std::to_string(kind));
  if (reserved16 != 0 || reserved32 != 0) return Invalid("reserved bits set");
  h.kind = static_cast<Kind>(kind);
  h.may_unmap = (flags & kMayUnmap) != 0;
  HAVEN_RETURN_IF_ERROR(CheckFields(h, flags));
  return h;
}

}  // namespace haven::blkrep::journal
