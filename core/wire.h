/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CORE_WIRE_H
#define HAVEN_CORE_WIRE_H

#include <cstdint>

// The constants of the wire protocol. Mirrors docs/wire-protocol.md; a change
// is one commit with the document, the codec, the golden bytes, the
// independent decoder (tests/unit/haven-wire-dump) and the fuzz seeds.

namespace haven::wire {

constexpr uint32_t kMagic = 0x314E5648;  // "HVN1" on the wire
constexpr uint16_t kVersionMin = 2;
constexpr uint16_t kVersionMax = 2;

constexpr uint32_t kHeaderBytes = 32;
constexpr uint32_t kMaxBodyBytes = 4u << 20;
constexpr uint16_t kOptionalTypeBit = 0x8000;

constexpr uint32_t kSessionTokenBytes = 16;
constexpr uint32_t kMaxNameBytes = 255;
constexpr uint32_t kMaxMessageBytes = 1024;
constexpr uint32_t kMaxRegions = 256;
constexpr uint32_t kMaxDisks = 64;
constexpr uint32_t kMaxPagesPerRecord = 512;
constexpr uint32_t kMaxDiskDataBytes = 2u << 20;
constexpr uint32_t kMaxDeviceStateBytes = 256u << 20;
constexpr uint32_t kMaxStoreSlots = 1u << 28;
constexpr uint32_t kMaxMachineBytes = 1u << 20;

enum class Type : uint16_t {
  // any connection
  kHello = 1,
  kHelloReply = 2,
  kError = 3,
  // control and query connection
  kIdentity = 4,
  // control connection
  kMachine = 5,
  kVerified = 6,
  kLayout = 8,
  kLayoutReply = 9,
  kHeartbeat = 10,
  kCommitted = 11,
  kGoodbye = 12,
  kHandOver = 13,
  kStore = 14,
  kStoreReply = 15,
  kLiveness = 24,
  // disk connection
  kDiskWrite = 16,
  kDiskZero = 17,
  kDiskDiscard = 18,
  kDiskFlush = 19,
  kDiskAck = 20,
  // memory connection
  kPages = 32,
  kDeviceState = 33,
  kEpochEnd = 34,
};

/// A peer that does not know it passes over it.
constexpr bool IsOptional(Type type) { return type == Type::kLiveness; }

/// What the guest does, as its device model says. On the wire.
enum class GuestRun : uint16_t {
  kUnknown = 0,
  kRunning = 1,
  kPaused = 2,    ///< by an administrator
  kIoError = 3,   ///< it waits for its disk to be mended
  kPanicked = 4,  ///< its kernel has
  kWatchdog = 5,  ///< its watchdog has stopped it
  kOther = 6,
};
constexpr uint16_t kMostGuestRun = 6;

/// Which of a session's three connections this is; or a question outside of any session.
enum class Connection : uint8_t { kControl = 1, kDisk = 2, kMemory = 3, kQuery = 4 };

// Feature bits of HELLO: the session uses the intersection.
constexpr uint64_t kFeatureZeroPages = 1u << 0;
constexpr uint64_t kFeaturePageDeltas = 1u << 1;
constexpr uint64_t kFeatureSamePages = 1u << 2;
constexpr uint64_t kFeatureCompressedPages = 1u << 3;
constexpr uint64_t kFeatureHandOver = 1u << 4;
constexpr uint64_t kFeatureEpochFigures = 1u << 5;
constexpr uint64_t kFeatureAssembledPages = 1u << 6;
constexpr uint64_t kFeatureSharedPages = 1u << 7;
constexpr uint64_t kFeatureEpochsInFlight = 1u << 8;
constexpr uint64_t kFeatureDiskAckEpoch = 1u << 9;
constexpr uint64_t kFeatureEarlyPages = 1u << 10;
constexpr uint64_t kFeatureMachine = 1u << 11;
/// What a primary says of itself, and no session uses: whether it asks an arbiter. One of before says neither.
constexpr uint64_t kFeatureArbiter = 1u << 12;
constexpr uint64_t kFeatureNoArbiter = 1u << 13;
constexpr uint64_t kFeatureGuestRun = 1u << 14;
constexpr uint64_t kFeatureVerified = 1u << 15;
constexpr uint64_t kFeaturesKnown =
    kFeatureZeroPages | kFeaturePageDeltas | kFeatureSamePages | kFeatureCompressedPages | kFeatureHandOver |
    kFeatureEpochFigures | kFeatureAssembledPages | kFeatureSharedPages | kFeatureEpochsInFlight |
    kFeatureDiskAckEpoch | kFeatureEarlyPages | kFeatureMachine | kFeatureGuestRun | kFeatureVerified;

/// Codes of ERROR.
enum class Error : uint16_t {
  kProtocol = 1,      ///< a record was malformed or out of order
  kVersion = 2,       ///< no common version
  kUnknownGuest = 3,  ///< the backup's configuration has no such guest
  kLayout = 4,        ///< memory or disks do not fit, or what the backup holds may be newer or not ours
  kPromoted = 5,      ///< the backup runs the guest: the primary has lost
  kBusy = 6,          ///< another primary is connected
  kEnvironment = 7,   ///< the sender's system failed (disk full, ...)
};

/// Flags of a disk write, zero or discard.
constexpr uint32_t kDiskSync = 1u << 0;      ///< part of the initial copy, not of an epoch
constexpr uint32_t kDiskMayUnmap = 1u << 1;  ///< zero may deallocate

/// How a page of PAGES is coded: high byte of its 64-bit entry.
enum class PageCode : uint8_t {
  kRaw = 0,         ///< the page
  kZero = 1,        ///< nothing: all octets are zero
  kRun = 2,         ///< one run of octets that replaces what the page had there
  kDelta = 3,       ///< a delta to what the page was
  kSparse = 4,      ///< a delta to a page of zeros
  kSame = 5,        ///< the index of a page that is equal
  kCompressed = 6,  ///< a compressed kRaw, kDelta or kSparse
  kAssembled = 7,   ///< blocks of other pages, and the octets of the others
  kKept = 8,        ///< another code, and a slot of the store that keeps the page
  kStored = 9,      ///< the slot of a page in the store
};

/// How kCompressed is compressed.
enum class Compression : uint8_t { kZlib = 1, kLz4 = 2, kZstd = 3 };

/// Why the primary ends a session for good (GOODBYE).
enum class Goodbye : uint16_t { kUnprotect = 1, kGuestPoweredOff = 2, kHandedOver = 3 };

/// What a side is to its copy of the guest (IDENTITY).
enum class Role : uint8_t { kNone = 0, kPrimary = 1, kBackup = 2 };

// Flags of IDENTITY.
constexpr uint16_t kIdentityFresh = 1u << 0;       ///< the generation was made just now: no copy has it yet
constexpr uint16_t kIdentityLifeEnded = 1u << 1;   ///< the life ended in a way that the sender knows
constexpr uint16_t kIdentityCheckpoint = 1u << 2;  ///< backup: holds a checkpoint to go on from
constexpr uint16_t kIdentityRunning = 1u << 3;     ///< the guest runs there
constexpr uint16_t kIdentityBusy = 1u << 4;        ///< backup: a session or a promotion is under way
constexpr uint16_t kIdentityStarting = 1u << 5;    ///< primary: asks before it starts the guest
constexpr uint16_t kIdentityPartial = 1u << 6;     ///< backup: its replicas are a part of a copy
constexpr uint16_t kIdentityFlagsKnown = (1u << 7) - 1;

/// Flags of EPOCH_END.
constexpr uint32_t kGuestPaused = 1u << 0;  ///< the guest did not run: it stays as it is after a failover

}  // namespace haven::wire

#endif
