/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CORE_RECORDS_H
#define HAVEN_CORE_RECORDS_H

#include <array>
#include <string>
#include <vector>

#include "core/bytes.h"
#include "core/epoch.h"
#include "core/lineage.h"
#include "core/status.h"
#include "core/wire.h"

// One struct per record body, with Encode and Decode for each. Decode is pure
// and takes untrusted octets: every bound, reserved bit and length is checked,
// and octets left over are an error. Source: docs/wire-protocol.md.

namespace haven::wire {

struct Header {
  Type type = Type::kError;
  bool optional = false;
  Epoch epoch = 0;
  uint32_t sequence = 0;  ///< counts the records of this connection and direction, from 0
  uint32_t body_bytes = 0;
  uint32_t body_crc = 0;
};

/// Appends exactly kHeaderBytes octets.
void EncodeHeader(const Header& header, Bytes& out);

/// Decodes one record header. Pure; any thread.
/// @param in  exactly kHeaderBytes octets from the peer; untrusted.
/// @return kProtocol if the magic, the header's CRC or a reserved field is
///         wrong, a mandatory type is unknown, or body_bytes > kMaxBodyBytes.
///         An optional unknown type is returned as it is: skip its body.
/// Source: docs/wire-protocol.md section 2.
Result<Header> DecodeHeader(ByteSpan in);

bool IsKnownType(Type type);
const char* TypeName(Type type);

using Token = std::array<uint8_t, kSessionTokenBytes>;

struct Hello {
  uint16_t version_min = kVersionMin;
  uint16_t version_max = kVersionMax;
  Connection connection = Connection::kControl;
  uint64_t features = kFeaturesKnown;
  uint32_t deadline_ms = 0;  ///< the primary's; the backup may be configured otherwise
  Token token{};             ///< all zero on the control connection: the backup gives it
  std::string guest;
};

struct HelloReply {
  uint16_t version = kVersionMax;
  uint64_t features = 0;
  Token token{};
  uint32_t deadline_ms = 0;
};

/// IDENTITY: which data of the guest a side has. Nothing is copied before both have compared.
struct Identity {
  Role role = Role::kNone;
  uint16_t flags = 0;        ///< kIdentity...
  Token life{};              ///< names the run of the guest that the data is of
  Epoch epoch = 0;           ///< the last that is known to be committed
  uint64_t committed_s = 0;  ///< when, seconds since 1970; 0: not known
  Lineage lineage;           ///< empty: no generation

  bool Has(uint16_t flag) const { return (flags & flag) != 0; }
};

struct ErrorBody {
  Error code = Error::kProtocol;
  std::string message;
};

struct Layout {
  struct Region {
    std::string name;
    uint64_t bytes = 0;  ///< a multiple of kPageBytes
    bool operator==(const Region&) const = default;
  };
  struct Disk {
    std::string name;
    uint64_t bytes = 0;
    bool operator==(const Disk&) const = default;
  };
  Token instance{};  ///< names this run of the guest on this primary
  std::vector<Region> regions;
  std::vector<Disk> disks;
  bool operator==(const Layout&) const = default;
};

/// MACHINE: what the guest can see of the machine that it runs on, as text. Compared by session/other_machine.h.
struct Machine {
  std::string description;
};
/// @return kProtocol unless it is lines of printable ASCII, each with " = " in it, and at most kMaxMachineBytes.
Status CheckMachine(const std::string& description);

/// What of each disk has to be copied before the first checkpoint.
struct LayoutReply {
  enum class Copy : uint8_t { kAll = 1, kChanged = 2 };
  std::vector<Copy> disks;
};

/// STORE: asks for the store of pages that guests of one host share.
struct Store {
  Token host{};  ///< names this run of the primary's host
};

struct StoreReply {
  Token instance{};               ///< names the store
  uint32_t slots = 0;             ///< that it has
  uint32_t first = 0, count = 0;  ///< of them, those that this session may fill
};

struct Heartbeat {
  uint64_t sent_us = 0;  ///< sender's clock
  uint64_t echo_us = 0;  ///< newest sent_us seen from the receiver, 0 if none
};

/// LIVENESS: what a primary's heartbeat does not say.
struct Liveness {
  uint32_t stalled_ms = 0;  ///< for how long its main thread has got nowhere
  GuestRun run = GuestRun::kUnknown;
};

/// COMMITTED, with the feature EPOCH_FIGURES; without it the body is empty.
struct Committed {
  uint64_t decode_us = 0;  ///< what the backup took to decode this epoch's PAGES
  uint64_t apply_us = 0;   ///< ... to commit and apply the epoch before; 0 in the first
};

struct GoodbyeBody {
  Goodbye reason = Goodbye::kUnprotect;
};

/// DISK_WRITE (with data), DISK_ZERO and DISK_DISCARD (without).
struct DiskRequest {
  uint64_t request = 0;  ///< chosen by the primary, returned in DISK_ACK
  uint32_t disk = 0;     ///< index into Layout::disks
  uint32_t flags = 0;
  uint64_t offset = 0;  ///< octets
  uint64_t bytes = 0;
};
constexpr uint32_t kDiskRequestBytes = 32;

struct DiskFlush {
  uint64_t request = 0;
  uint32_t disk = 0;
};

struct DiskAck {
  uint64_t request = 0;
};

/// PAGES: `entries[i]` is the code (bits 63-56) and page index (bits 55-0) of
/// page i of `region`; the payload of the pages that have one follows.
struct PagesHead {
  uint32_t region = 0;
  uint32_t count = 0;
};
constexpr uint32_t kPagesHeadBytes = 8;

struct DeviceStateHead {
  uint64_t total_bytes = 0;
  uint64_t offset = 0;
};
constexpr uint32_t kDeviceStateHeadBytes = 16;

struct EpochEnd {
  uint64_t pages = 0;         ///< entries of all PAGES of this epoch
  uint64_t disk_records = 0;  ///< DISK_WRITE, _ZERO, _DISCARD of this epoch
  uint64_t device_state_bytes = 0;
  uint32_t memory_records = 0;  ///< PAGES and DEVICE_STATE records of this epoch
  uint16_t flags = 0;
  GuestRun run = GuestRun::kUnknown;  ///< with the feature GUEST_RUN
};

Bytes Encode(const Hello&);
Bytes Encode(const HelloReply&);
Bytes Encode(const Identity&);
Bytes Encode(const ErrorBody&);
Bytes Encode(const Machine&);
Bytes Encode(const Layout&);
Bytes Encode(const LayoutReply&);
Bytes Encode(const Store&);
Bytes Encode(const StoreReply&);
Bytes Encode(const Heartbeat&);
Bytes Encode(const Liveness&);
Bytes Encode(const Committed&);
Bytes Encode(const GoodbyeBody&);
Bytes Encode(const DiskRequest&);  ///< without the data
Bytes Encode(const DiskFlush&);
Bytes Encode(const DiskAck&);
Bytes Encode(const EpochEnd&);

/// All zero when octets are missing, which `in` says.
Token ReadToken(ByteReader& in);

Result<Hello> DecodeHello(ByteSpan);
Result<HelloReply> DecodeHelloReply(ByteSpan);
Result<Identity> DecodeIdentity(ByteSpan);
Result<ErrorBody> DecodeError(ByteSpan);
Result<Machine> DecodeMachine(ByteSpan);
Result<Layout> DecodeLayout(ByteSpan);
Result<LayoutReply> DecodeLayoutReply(ByteSpan);
Result<Store> DecodeStore(ByteSpan);
Result<StoreReply> DecodeStoreReply(ByteSpan);
Result<Heartbeat> DecodeHeartbeat(ByteSpan);
Result<Liveness> DecodeLiveness(ByteSpan);
Result<Committed> DecodeCommitted(ByteSpan);
Result<GoodbyeBody> DecodeGoodbye(ByteSpan);
/// @param type  kDiskWrite: `in` ends with exactly `bytes` octets of data;
///              kDiskZero, kDiskDiscard: nothing follows.
Result<DiskRequest> DecodeDiskRequest(Type type, ByteSpan in);
Result<DiskFlush> DecodeDiskFlush(ByteSpan);
Result<DiskAck> DecodeDiskAck(ByteSpan);
Result<EpochEnd> DecodeEpochEnd(ByteSpan);

}  // namespace haven::wire

#endif
