/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_JOURNAL_FORMAT_H
#define HAVEN_BLKREP_JOURNAL_FORMAT_H

#include <array>
#include <cstdint>

#include "blkrep/request.h"
#include "core/bytes.h"
#include "core/epoch.h"
#include "core/status.h"

// The octets of the journal's files. Mirrors docs/journal.md; a change is one
// commit with the document, the codec, the golden bytes and the fuzz seeds.

namespace haven::blkrep::journal {

constexpr uint32_t kFileMagic = 0x4A4E5648;    // "HVNJ" in the file
constexpr uint32_t kRecordMagic = 0x724A5648;  // "HVJr" in the file
constexpr uint16_t kVersion = 1;
constexpr uint32_t kFileHeaderBytes = 64;
constexpr uint32_t kRecordHeaderBytes = 56;

/// Highest epoch that can be stored: open epochs are kept as epoch + 1.
constexpr Epoch kMaxEpoch = UINT64_MAX - 1;

/// The segment cannot be understood without the one before it, unless it
/// contains a release mark.
constexpr uint16_t kNeedsPrevious = 1u << 0;
/// Flag of a zero request.
constexpr uint8_t kMayUnmap = 1u << 0;

enum class Kind : uint8_t {
  kWrite = 1,
  kZero = 2,
  kDiscard = 3,
  kCommit = 16,   ///< all requests up to `epoch` count
  kApplied = 17,  ///< all requests up to `epoch` are in the replicas
  kDrop = 18,     ///< requests before this one that no commit covers never count
  kRelease = 19,  ///< the previous segment is not needed any more
};

struct FileHeader {
  bool needs_previous = false;
  uint64_t generation = 0;      ///< one more than the segment before it
  uint64_t first_sequence = 0;  ///< of the first record
  Epoch open_epoch = 0;         ///< lowest epoch not committed when it began
  Epoch unapplied_epoch = 0;    ///< lowest epoch not applied when it began
};

struct RecordHeader {
  Kind kind = Kind::kWrite;
  bool may_unmap = false;
  uint64_t sequence = 0;
  Epoch epoch = 0;
  uint32_t disk = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint32_t data_crc = 0;

  bool IsRequest() const { return kind <= Kind::kDiscard; }
  uint64_t DataBytes() const { return kind == Kind::kWrite ? bytes : 0; }
  Request ToRequest() const;
  static RecordHeader Of(Epoch epoch, const Request& request);
};

Bytes Encode(const FileHeader& header);
Bytes Encode(const RecordHeader& header);

/// The magic and the checksum fit: the octets are what a writer once wrote.
/// @param in  exactly kRecordHeaderBytes octets.
bool RecordChecks(ByteSpan in);

/// Pure; any thread.
/// @param in  exactly kFileHeaderBytes octets; untrusted.
/// @return kInvalid with the reason.
Result<FileHeader> DecodeFileHeader(ByteSpan in);

/// Pure; any thread.
/// @param in  exactly kRecordHeaderBytes octets for which RecordChecks(); still untrusted.
/// @return kInvalid with the reason if a field has a value no writer of this
///         version writes.
Result<RecordHeader> DecodeRecordHeader(ByteSpan in);

}  // namespace haven::blkrep::journal

#endif
