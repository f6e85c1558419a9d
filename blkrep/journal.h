/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_JOURNAL_H
#define HAVEN_BLKREP_JOURNAL_H

#include <memory>
#include <string>
#include <vector>

#include "blkrep/request.h"
#include "core/bytes.h"
#include "core/epoch.h"
#include "core/status.h"

namespace haven::blkrep {

/// The backup's write-ahead log of disk requests: each is appended when it
/// arrives; a commit mark per epoch decides which of them count. Format:
/// docs/journal.md. Survives the death of this process at any octet.
/// Thread: callers serialise; one Journal per guest.
class Journal {
 public:
  /// Where a staged request is; `data_at` is the offset of its data in file
  /// number `file`.
  struct Entry {
    Epoch epoch = 0;
    Request request;
    uint64_t data_at = 0;
    uint32_t data_crc = 0;
    uint8_t file = 0;
  };

  /// Size at which the journal goes on in its other file, if that is free.
  static constexpr uint64_t kSegmentBytes = 64u << 20;

  /// Opens or creates the files `path` and `path`.2, and locks them. Requests
  /// of committed epochs that were not yet marked applied are handed out by
  /// TakeCommitted(); what follows the last commit mark, or the first octet
  /// that does not check, is cut off.
  /// @return kEnvironment with errno; kRefused if another process has it open;
  ///         kInvalid if a file is not a journal or of a version unknown here.
  static Result<std::unique_ptr<Journal>> Open(const std::string& path, uint64_t segment_bytes = kSegmentBytes);
  virtual ~Journal() = default;

  /// Appends one request of `epoch`. Epochs never go back. After a failure
  /// the journal is as before the call.
  /// @param data  exactly request.bytes octets for kWrite, empty otherwise.
  /// @return kProtocol if the epoch or the range cannot be; kEnvironment.
  virtual Status Append(Epoch epoch, const Request& request, ByteSpan data) = 0;

  /// Makes all appended so far durable (fdatasync). Once it failed it fails
  /// for ever: the system may have dropped what it could not write.
  virtual Status Sync() = 0;

  /// Appends the commit mark of `epoch`: its requests, and those of all epochs
  /// before it, count from now on.
  /// @param durable  fdatasync before returning. When that fails the mark may
  ///         or may not outlive a crash of the host.
  /// @return kProtocol if a later epoch is committed already.
  virtual Status Commit(Epoch epoch, bool durable) = 0;

  /// The requests of committed epochs, in order, each handed out once.
  virtual std::vector<Entry> TakeCommitted() = 0;

  /// Reads the data of a kWrite entry. @param out  exactly entry.request.bytes.
  /// The one call that may run beside the others, as long as the entry is
  /// handed out and not marked applied: its file stays as it is until then.
  /// @return kEnvironment, also when the data does not match its checksum.
  virtual Status ReadData(const Entry& entry, std::span<uint8_t> out) = 0;

  /// All entries up to `epoch` were handed out by TakeCommitted() and are in
  /// the replicas (and synced there): reclaims their space as far as that is cheap.
  /// @return kInvalid if TakeCommitted() has not handed them all out.
  virtual Status MarkApplied(Epoch epoch) = 0;

  /// Drops the requests of epochs that are not committed.
  virtual Status DiscardUncommitted() = 0;

  /// For a new session, whose epochs begin at 0 again: forgets everything.
  /// @return kInvalid if a committed request is not marked applied.
  virtual Status StartOver() = 0;

  /// Number of Append()s of `epoch` so far; 0 again once a later one is committed.
  virtual uint64_t CountOf(Epoch epoch) const = 0;
  virtual Epoch LastCommitted() const = 0;
  /// Of both files.
  virtual uint64_t FileBytes() const = 0;

  /// What Open() had to cut off that was not just the unfinished end: a
  /// sentence, or empty. Committed epochs may be among it, so a replica may be
  /// newer than the journal: copy the disks completely.
  virtual const std::string& Damage() const = 0;
};

}  // namespace haven::blkrep

#endif
