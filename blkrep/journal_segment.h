/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_JOURNAL_SEGMENT_H
#define HAVEN_BLKREP_JOURNAL_SEGMENT_H

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "blkrep/journal_format.h"

namespace haven::blkrep::journal {

/// One of the journal's two files: a header and records, or empty (free).
/// Knows octets and checksums; what the records mean is the Journal's business.
/// Callers serialise.
class Segment {
 public:
  /// Opens or creates `path` and locks it against other processes.
  /// @return kEnvironment, kRefused (locked), kInvalid (not a journal).
  static Result<std::unique_ptr<Segment>> Open(const std::string& path);
  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  /// A record that checks; `at` is where its header is.
  struct Found {
    RecordHeader header;
    uint64_t at = 0;
    uint64_t DataAt() const { return at + kRecordHeaderBytes; }
    uint64_t End() const { return DataAt() + header.DataBytes(); }
  };
  struct ScanResult {
    std::vector<Found> records;
    std::string damage;  ///< why it ends early, unless its last record is merely unfinished
  };
  /// Reads all records up to the first that does not check. Not on a free segment.
  /// @return kInvalid if a record checks but this version would not have written it.
  Result<ScanResult> Scan();

  /// The size up to which the file is in use; 0 when free.
  uint64_t end() const { return end_; }
  bool free() const { return !header_.has_value(); }
  const FileHeader& header() const { return *header_; }
  const std::string& path() const { return path_; }

  /// A free segment gets its header, on stable storage.
  Status Begin(const FileHeader& header);
  /// Writes header and data at the end in one call. On failure the end stays.
  Status Append(const RecordHeader& record, ByteSpan data);
  Status Read(uint64_t at, std::span<uint8_t> out) const;
  /// Cuts off what follows `end`.
  Status Cut(uint64_t end);
  /// Makes it free.
  Status Clear();
  /// fdatasync, if anything may have been written since the last one.
  Status Sync();

 private:
  Segment(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  Status Load();
  Status CheckUnfinishedHeader(uint64_t file_bytes);
  Status ReadRecord(uint64_t at, uint64_t file_bytes, uint64_t sequence, std::optional<Found>& found,
                    std::string& damage) const;
  Result<uint32_t> DataCrc(uint64_t at, uint64_t bytes) const;
  Status Failed(const char* what) const;
  std::string Where(uint64_t at) const;
  void WriteLate() const;

  std::string path_;
  int fd_;
  uint64_t end_ = 0;
  std::optional<FileHeader> header_;
  bool unsynced_ = false;
  bool name_synced_ = false;
  // Of the break commit-mark-before-data: data that is written behind the mark which makes it count.
  mutable Bytes late_;
  uint64_t late_at_ = 0;
};

}  // namespace haven::blkrep::journal

#endif
