// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/records.h"

#include <algorithm>

#include "core/assert.h"
#include "core/crc32c.h"

namespace haven::wire {
namespace {

Status Malformed(const char* record, const std::string& why) {
  return {StatusCode::kProtocol, std::string(record) + " record: " + why};
}

/// The two ends every decoder checks: all octets were there, none is left.
Status CheckEnd(const ByteReader& in, const char* record) {
  if (!in.ok()) return Malformed(record, "too short");
  if (in.left() != 0) return Malformed(record, std::to_string(in.left()) + " octets too long");
  return Status::Ok();
}

bool IsName(const std::string& name) {
  if (name.empty() || name.size() > kMaxNameBytes) return false;
  return std::all_of(name.begin(), name.end(), [](unsigned char c) { return c > 0x20 && c != 0x7F; });
}

template <typename Entry>
void WriteEntries(ByteWriter& w, const std::vector<Entry>& entries) {
  w.U32(static_cast<uint32_t>(entries.size()));
  for (const Entry& entry : entries) {
    w.U64(entry.bytes);
    w.String(entry.name);
  }
}

template <typename Entry>
Status ReadEntries(ByteReader& in, uint32_t limit, const char* what, std::vector<Entry>& out) {
  uint32_t count = in.U32();
  if (count > limit) {
    return Malformed("LAYOUT", std::to_string(count) + " " + what + " are more than " + std::to_string(limit));
  }
  for (uint32_t i = 0; i < count && in.ok(); i++) {
    Entry entry;
    entry.bytes = in.U64();
    entry.name = in.String();
    if (!in.ok()) break;
    if (!IsName(entry.name)) return Malformed("LAYOUT", std::string("a name among the ") + what + " is not allowed");
    for (const Entry& other : out) {
      if (other.name == entry.name) return Malformed("LAYOUT", "the name " + entry.name + " occurs twice");
    }
    out.push_back(std::move(entry));
  }
  return Status::Ok();
}

}  // namespace

Token ReadToken(ByteReader& in) {
  Token token{};
  ByteSpan raw = in.Raw(token.size());
  std::copy(raw.begin(), raw.end(), token.begin());
  return token;
}

bool IsKnownType(Type type) { return TypeName(type) != nullptr; }

const char* TypeName(Type type) {
  switch (type) {
    case Type::kHello: return "HELLO";
    case Type::kHelloReply: return "HELLO_REPLY";
    case Type::kError: return "ERROR";
    case Type::kIdentity: return "IDENTITY";
    case Type::kMachine: return "MACHINE";
    case Type::kLayout: return "LAYOUT";
    case Type::kLayoutReply: return "LAYOUT_REPLY";
    case Type::kHeartbeat: return "HEARTBEAT";
    case Type::kCommitted: return "COMMITTED";
    case Type::kGoodbye: return "GOODBYE";
    case Type::kHandOver: return "HAND_OVER";
    case Type::kVerified: return "VERIFIED";
    case Type::kStore: return "STORE";
    case Type::kStoreReply: return "STORE_REPLY";
    case Type::kLiveness: return "LIVENESS";
    case Type::kDiskWrite: return "DISK_WRITE";
    case Type::kDiskZero: return "DISK_ZERO";
    case Type::kDiskDiscard: return "DISK_DISCARD";
    case Type::kDiskFlush: return "DISK_FLUSH";
    case Type::kDiskAck: return "DISK_ACK";
    case Type::kPages: return "PAGES";
    case Type::kDeviceState: return "DEVICE_STATE";
    case Type::kEpochEnd: return "EPOCH_END";
  }
  return nullptr;
}

void EncodeHeader(const Header& header, Bytes& out) {
  size_t start = out.size();
  ByteWriter w(out);
  w.U32(kMagic);
  w.U16(static_cast<uint16_t>(header.type) | (header.optional ? kOptionalTypeBit : 0));
  w.U16(0);
  w.U64(header.epoch);
  w.U32(header.sequence);
  w.U32(header.body_bytes);
  w.U32(header.body_crc);
  w.U32(Crc32c(ByteSpan(out).subspan(start, kHeaderBytes - 4)));
  HAVEN_ASSERT(out.size() - start == kHeaderBytes);
}

Result<Header> DecodeHeader(ByteSpan in) {
  if (in.size() != kHeaderBytes) return Malformed("a", "header is cut off");
  ByteReader r(in);
  if (r.U32() != kMagic) return Malformed("a", "wrong magic number; is the peer HAVEN?");
  uint16_t raw_type = r.U16();
  uint16_t reserved = r.U16();
  Header header;
  header.optional = (raw_type & kOptionalTypeBit) != 0;
  header.type = static_cast<Type>(raw_type & ~kOptionalTypeBit);
  header.epoch = r.U64();
  header.sequence = r.U32();
  header.body_bytes = r.U32();
  header.body_crc = r.U32();
  if (r.U32() != Crc32c(in.first(kHeaderBytes - 4))) return Malformed("a", "header checksum is wrong");
  if (reserved != 0) return Malformed("a", "reserved header bits are set");
  if (header.body_bytes > kMaxBodyBytes) {
    return Malformed("a", "body of " + std::to_string(header.body_bytes) + " octets is over the limit");
  }
  if (!header.optional && !IsKnownType(header.type)) {
    return Malformed("a", "mandatory type " + std::to_string(raw_type) + " is unknown");
  }
  return header;
}

Bytes Encode(const Hello& hello) {
  Bytes out;
  ByteWriter w(out);
  w.U16(hello.version_min);
  w.U16(hello.version_max);
  w.U8(static_cast<uint8_t>(hello.connection));
  w.U8(0);
  w.U16(0);
  w.U64(hello.features);
  w.U32(hello.deadline_ms);
  w.Raw(hello.token);
  w.String(hello.guest);
  return out;
}

Result<Hello> DecodeHello(ByteSpan in) {
  ByteReader r(in);
  Hello hello;
  hello.version_min = r.U16();
  hello.version_max = r.U16();
  uint8_t connection = r.U8();
  bool reserved = (r.U8() | r.U16()) != 0;
  hello.features = r.U64();
  hello.deadline_ms = r.U32();
  hello.token = ReadToken(r);
  hello.guest = r.String();
  HAVEN_RETURN_IF_ERROR(CheckEnd(r, "HELLO"));
  if (reserved) return Malformed("HELLO", "reserved bits are set");
  if (connection < 1 || connection > 4) return Malformed("HELLO", "unknown kind of connection");
  if (hello.version_min > hello.version_max) return Malformed("HELLO", "versions are in the wrong order");
  if (!IsName(hello.guest)) return Malformed("HELLO", "the guest's name is not allowed");
  hello.connection = static_cast<Connection>(connection);
  return hello;
}

Bytes Encode(const HelloReply& reply) {
  Bytes out;
  ByteWriter w(out);
  w.U16(reply.version);
  w.U16(0);
  w.U32(reply.deadline_ms);
  w.U64(reply.features);
  w.Raw(reply.token);
  return out;
}

Result<HelloReply> DecodeHelloReply(ByteSpan in) {
  ByteReader r(in);
  HelloReply reply;
  reply.version = r.U16();
  uint16_t reserved = r.U16();
  reply.deadline_ms = r.U32();
  reply.features = r.U64();
  reply.token = ReadToken(r);
  HAVEN_RETURN_IF_ERROR(CheckEnd(r, "HELLO_REPLY"));
  if (reserved != 0) return Malformed("HELLO_REPLY", "reserved bits are set");
  if (reply.version < kVersionMin || reply.version > kVersionMax) {
    return Malformed("HELLO_REPLY", "version " + std::to_string(reply.version) + " was not offered");
  }
  if ((reply.features & ~kFeaturesKnown) != 0) return Malformed("HELLO_REPLY", "features that were not offered");
  return reply;
}

Bytes Encode(const Identity& identity) {
  Bytes out;
  ByteWriter w(out);
  w.U8(static_cast<uint8_t>(identity.role));
  w.U8(0);
  w.U16(identity.flags);
  w.U32(0);
  w.Raw(identity.life);
  w.U64(identity.epoch);
  w.U64(identity.committed_s);
  WriteLineage(w, identity.lineage);
  return out;
}

Result<Identity> DecodeIdentity(ByteSpan in) {
  ByteReader r(in);
  Identity identity;
  const uint8_t role = r.U8();
  bool reserved = r.U8() != 0;
  identity.flags = r.U16();
  reserved = r.U32() != 0 || reserved;
  identity.life = ReadToken(r);
  identity.epoch = r.U64();
  identity.committed_s = r.U64();
  const std::string why_not = ReadLineage(r, identity.lineage);
  if (!why_not.empty()) return Malformed("IDENTITY", why_not);
  HAVEN_RETURN_IF_ERROR(CheckEnd(r, "IDENTITY"));
  if (reserved || (identity.flags & ~kIdentityFlagsKnown) != 0) return Malformed("IDENTITY", "reserved bits are set");
  if (role > static_cast<uint8_t>(Role::kBackup)) return Malformed("IDENTITY", "unknown role");
  identity.role = static_cast<Role>(role);
  return identity;
}

Bytes Encode(const ErrorBody& error) {
  Bytes out;
  ByteWriter w(out);
  w.U16(static_cast<uint16_t>(error.code));
  w.U16(0);
  w.String(std::string_view(error.message).substr(0, kMaxMessageBytes));
  return out;
}

Result<ErrorBody> DecodeError(ByteSpan in) {
  ByteReader r(in);
  ErrorBody error;
  uint16_t code = r.U16();
  uint16_t reserved = r.U16();
  error.message = r.String();
  HAVEN_RETURN_IF_ERROR(CheckEnd(r, "ERROR"));
  if (reserved != 0) return Malformed("ERROR", "reserved bits are set");
  if (code < 1 || code > static_cast<uint16_t>(Error::kEnvironment)) return Malformed("ERROR", "unknown code");
  if (error.message.size() > kMaxMessageBytes) return Malformed("ERROR", "message is too long");
  for (char& c : error.message) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  }
  error.code = static_cast<Error>(code);
  return error;
}

Status CheckMachine(const std::string& description) {
  if (description.size() > kMaxMachineBytes) return Malformed("MACHINE", "too long");
  size_t at = 0;
  while (at < description.size()) {
    const size_t end = description.find('\n', at);
    if (end == std::string::npos) return Malformed("MACHINE", "the last line has no end");
    const std::string_view line = std::string_view(description).substr(at, end - at);
    if (!std::all_of(line.begin(), line.end(), [](char c) { return c >= 0x20 && c < 0x7F; })) {
      return Malformed("MACHINE", "a character is not allowed");
    }
    const size_t equals = line.find(" = ");
    if (equals == 0 || equals == std::string_view::npos) return Malformed("MACHINE", "a line says nothing of anything");
    at = end + 1;
  }
  return Status::Ok();
}

Bytes Encode(const Machine& machine) { return {machine.description.begin(), machine.description.end()}; }

Result<Machine> DecodeMachine(ByteSpan in) {
  if (in.size() > kMaxMachineBytes) return Malformed("MACHINE", "too long");
  Machine machine{{in.begin(), in.end()}};
  HAVEN_RETURN_IF_ERROR(CheckMachine(machine.description));
  return machine;
}

Bytes Encode(const Layout& layout) {
  Bytes out;
  ByteWriter w(out);
  w.Raw(layout.instance);
  WriteEntries(w, layout.regions);
  WriteEntries(w, layout.disks);
  return out;
}

Result<Layout> DecodeLayout(ByteSpan in) {
  ByteReader r(in);
  Layout layout;
  layout.instance = ReadToken(r);
  HAVEN_RETURN_IF_ERROR(ReadEntries(r, kMaxRegions, "memory regions", layout.regions));
  HAVEN_RETURN_IF_ERROR(ReadEntries(r, kMaxDisks, "disks", layout.disks));
  HAVEN_RETURN_IF_ERROR(CheckEnd(r, "LAYOUT"));
  for (const Layout::Region& region : layout.regions) {
    if (region.bytes == 0 || region.bytes % kPageBytes != 0 || region.bytes >> 56 != 0) {
      return Malformed("LAYOUT", "region " + region.name + " is not a whole number of pages");
    }
  }
  for (const Layout::Disk& disk : layout.disks) {
    if (disk.bytes > INT64_MAX) return Malformed("LAYOUT", "disk " + disk.name + " is too large");
  }
  return layout;
}

Bytes Encode(const LayoutReply& reply) {
  Bytes out;
  ByteWriter w(out);
  w.U32(static_cast<uint32_t>(reply.disks.size()));
  for (LayoutReply::Copy copy : reply.disks) w.U8(static_cast<uint8_t>(copy));
  return out;
}

Result<LayoutReply> DecodeLayoutReply(ByteSpan in) {
  ByteReader r(in);
  uint32_t count = r.U32();
  if (count > kMaxDisks) return Malformed("LAYOUT_REPLY", "too many disks");
  LayoutReply reply;
  for (uint32_t i = 0; i < count; i++) {
    uint8_t copy = r.U8();
    if (r.ok() && (copy < 1 || copy > 2)) return Malformed("LAYOUT_REPLY", "unknown kind of copy");
    reply.disks.push_back(static_cast<LayoutReply::Copy>(copy));
  }
  HAVEN_RETURN_IF_ERROR(CheckEnd(r, "LAYOUT_REPLY"));
  return reply;
}

Bytes Encode(const Store& store) {
  Bytes out;
  ByteWriter w(out);
  w.Raw(store.host);
  return out;
}

Result<Store> DecodeStore(ByteSpan in) {
  ByteReader r(in);
  Store store{ReadToken(r)};
  HAVEN_RETURN_IF_ERROR(CheckEnd(r, "STORE"));
  return store;
}

Bytes Encode(const StoreReply& reply) {
  Bytes out;
  ByteWriter w(out);
  w.Raw(reply.instance);
  w.U32(reply.slots);
  w.U32(reply.first);
  w.U32(reply.count);
  return out;
}

Result<StoreReply> DecodeStoreReply(ByteSpan in) {
  ByteReader r(in);
  StoreReply reply;
  reply.instance = ReadToken(r);
  reply.slots = r.U32();
  reply.first = r.U32();
  reply.count = r.U32();
  HAVEN_RETURN_IF_ERROR(CheckEnd(r, "STORE_REPLY"));
  if (reply.slots == 0 || reply.slots > kMaxStoreSlots)
    return Malformed("STORE_REPLY", "its number of slots cannot be");
  if (reply.first > reply.slots || reply.count > reply.slots - reply.first) {
    return Malformed("STORE_REPLY", "slots outside of the store");
  }
  return reply;
}

Bytes Encode(const Heartbeat& heartbeat) {
  Bytes out;
  ByteWriter w(out);
  w.U64(heartbeat.sent_us);
  w.U64(heartbeat.echo_us);
  return out;
}

Result<Heartbeat> DecodeHeartbeat(ByteSpan in) {
  ByteReader r(in);
  Heartbeat heartbeat;
  heartbeat.sent_us = r.U64();
  heartbeat.echo_us = r.U64();
  HAVEN_RETURN_IF_ERROR(CheckEnd(r, "HEARTBEAT"));
  return heartbeat;
}

static GuestRun RunOf(uint16_t number) {
  return number <= kMostGuestRun ? static_cast<GuestRun>(number) : GuestRun::kOther;
}

Bytes Encode(const Liveness& liveness) {
  Bytes out;
  ByteWriter w(out);
  w.U32(liveness.stalled_ms);
  w.U16(static_cast<uint16_t>(liveness.run));
  return out;
}

Result<Liveness> DecodeLiveness(ByteSpan in) {
  ByteReader r(in);
  Liveness liveness;
  liveness.stalled_ms = r.U32();
  const uint16_t run = r.U16();
  HAVEN_RETURN_IF_ERROR(CheckEnd(r, "LIVENESS"));
  // A later version may know more of them.
  liveness.run = RunOf(run);
  return liveness;
}

Bytes Encode(const Committed& committed) {
  Bytes out;
  ByteWriter w(out);
  w.U64(committed.decode_us);
  w.U64(committed.apply_us);
  return out;
}

Result<Committed> DecodeCommitted(ByteSpan in) {
  ByteReader r(in);
  Committed committed;
  committed.decode_us = r.U64();
  committed.apply_us = r.U64();
  HAVEN_RETURN_IF_ERROR(CheckEnd(r, "COMMITTED"));
  return committed;
}

Bytes Encode(const GoodbyeBody& goodbye) {
  Bytes out;
  ByteWriter w(out);
  w.U16(static_cast<uint16_t>(goodbye.reason));
  return out;
}

Result<GoodbyeBody> DecodeGoodbye(ByteSpan in) {
  ByteReader r(in);
  uint16_t reason = r.U16();
  HAVEN_RETURN_IF_ERROR(CheckEnd(r, "GOODBYE"));
  if (reason < 1 || reason > 3) return Malformed("GOODBYE", "unknown reason");
  return GoodbyeBody{static_cast<Goodbye>(reason)};
}

Bytes Encode(const DiskRequest& request) {
  Bytes out;
  out.reserve(kDiskRequestBytes);
  ByteWriter w(out);
  w.U64(request.request);
  w.U32(request.disk);
  w.U32(request.flags);
  w.U64(request.offset);
  w.U64(request.bytes);
  return out;
}

Result<DiskRequest> DecodeDiskRequest(Type type, ByteSpan in) {
  const char* name = TypeName(type);
  ByteReader r(in);
  DiskRequest request;
  request.request = r.U64();
  request.disk = r.U32();
  request.flags = r.U32();
  request.offset = r.U64();
  request.bytes = r.U64();
  if (!r.ok()) return Malformed(name, "too short");
  uint32_t allowed = kDiskSync | (type == Type::kDiskZero ? kDiskMayUnmap : 0);
  if ((request.flags & ~allowed) != 0) return Malformed(name, "reserved flags are set");
  if (request.disk >= kMaxDisks) return Malformed(name, "disk index is over the limit");
  if (request.offset > INT64_MAX || request.bytes > INT64_MAX - request.offset) {
    return Malformed(name, "range is too large");
  }
  uint64_t expected = type == Type::kDiskWrite ? request.bytes : 0;
  if (expected > kMaxDiskDataBytes) {
    return Malformed(name, std::to_string(expected) + " octets of data are over the limit");
  }
  if (r.left() != expected) {
    return Malformed(name, std::to_string(r.left()) + " octets of data instead of " + std::to_string(expected));
  }
  return request;
}

Bytes Encode(const DiskFlush& flush) {
  Bytes out;
  ByteWriter w(out);
  w.U64(flush.request);
  w.U32(flush.disk);
  return out;
}

Result<DiskFlush> DecodeDiskFlush(ByteSpan in) {
  ByteReader r(in);
  DiskFlush flush;
  flush.request = r.U64();
  flush.disk = r.U32();
  HAVEN_RETURN_IF_ERROR(CheckEnd(r, "DISK_FLUSH"));
  if (flush.disk >= kMaxDisks) return Malformed("DISK_FLUSH", "disk index is over the limit");
  return flush;
}

Bytes Encode(const DiskAck& ack) {
  Bytes out;
  ByteWriter w(out);
  w.U64(ack.request);
  return out;
}

Result<DiskAck> DecodeDiskAck(ByteSpan in) {
  ByteReader r(in);
  DiskAck ack;
  ack.request = r.U64();
  HAVEN_RETURN_IF_ERROR(CheckEnd(r, "DISK_ACK"));
  return ack;
}

Bytes Encode(const EpochEnd& end) {
  Bytes out;
  ByteWriter w(out);
  w.U64(end.pages);
  w.U64(end.disk_records);
  w.U64(end.device_state_bytes);
  w.U32(end.memory_records);
  w.U16(end.flags);
  w.U16(static_cast<uint16_t>(end.run));
  return out;
}

Result<EpochEnd> DecodeEpochEnd(ByteSpan in) {
  ByteReader r(in);
  EpochEnd end;
  end.pages = r.U64();
  end.disk_records = r.U64();
  end.device_state_bytes = r.U64();
  end.memory_records = r.U32();
  end.flags = r.U16();
  const uint16_t run = r.U16();
  HAVEN_RETURN_IF_ERROR(CheckEnd(r, "EPOCH_END"));
  if ((end.flags & ~kGuestPaused) != 0) return Malformed("EPOCH_END", "reserved flags are set");
  end.run = RunOf(run);
  const bool stopped = (end.flags & kGuestPaused) != 0, runs = end.run == GuestRun::kRunning;
  if (end.run != GuestRun::kUnknown && stopped == runs)
    return Malformed("EPOCH_END", "the guest cannot run and be paused");
  return end;
}

}  // namespace haven::wire
