// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/journal_segment.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/assert.h"
#include "core/crc32c.h"
#include "core/failpoint.h"
#include "os/files.h"
#include "os/sync_folder.h"
#include "os/write_all.h"

namespace haven::blkrep::journal {
namespace {

constexpr size_t kReadBytes = 256 * 1024;

}  // namespace

Status Segment::Failed(const char* what) const {
  return Status::FromErrno(errno, std::string("cannot ") + what + " the journal " + path_);
}

std::string Segment::Where(uint64_t at) const { return path_ + ", record at octet " + std::to_string(at); }

Result<std::unique_ptr<Segment>> Segment::Open(const std::string& path) {
  const int fd = os::Files::Here().Open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return Status::FromErrno(errno, "cannot open the journal " + path);
  std::unique_ptr<Segment> segment(new Segment(path, fd));
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return segment->Failed("lock");
    return Status(StatusCode::kRefused, "the journal " + path + " is in use: stop the other havend that has it open");
  }
  HAVEN_RETURN_IF_ERROR(segment->Load());
  return segment;
}

Segment::~Segment() { os::Files::Here().Close(fd_); }

Status Segment::Load() {
  struct stat st;
  if (fstat(fd_, &st) != 0) return Failed("examine");
  if (!S_ISREG(st.st_mode)) return Status(StatusCode::kInvalid, "the journal " + path_ + " is not a regular file");
  const auto file_bytes = static_cast<uint64_t>(st.st_size);
  if (file_bytes == 0) return Status::Ok();
  if (file_bytes < kFileHeaderBytes) return CheckUnfinishedHeader(file_bytes);
  std::array<uint8_t, kFileHeaderBytes> octets;
  HAVEN_RETURN_IF_ERROR(Read(0, octets));
  // Begin() may have died after the file grew and before its content was written.
  if (file_bytes == kFileHeaderBytes && std::all_of(octets.begin(), octets.end(), [](uint8_t o) { return o == 0; }))
    return Clear();
  Result<FileHeader> header = DecodeFileHeader(octets);
  if (!header.ok()) {
    return header.status().With("cannot use the file " + path_ + " as a journal (move it away to begin a new one)");
  }
  header_ = header.value();
  end_ = file_bytes;
  unsynced_ = true;
  return Status::Ok();
}

/// A header that Begin() could not finish holds nothing: no record follows
/// before the header is on stable storage. Anything else is somebody's file.
Status Segment::CheckUnfinishedHeader(uint64_t file_bytes) {
  Bytes octets(file_bytes);
  HAVEN_RETURN_IF_ERROR(Read(0, octets));
  const Bytes sample = Encode(FileHeader{});
  const size_t magic = std::min<size_t>(file_bytes, 4);
  const bool begun = std::equal(octets.begin(), octets.begin() + magic, sample.begin());
  const bool zeros = std::all_of(octets.begin(), octets.end(), [](uint8_t o) { return o == 0; });
  if (begun || zeros) return Clear();
  return Status(StatusCode::kInvalid, "cannot use the file " + path_ +
                                          " as a journal (move it away to begin a new one): "
                                          "it is not a HAVEN journal");
}

Result<Segment::ScanResult> Segment::Scan() {
  HAVEN_ASSERT(!free());
  ScanResult result;
  const uint64_t file_bytes = end_;
  uint64_t at = kFileHeaderBytes;
  while (at < file_bytes) {
    const uint64_t sequence = header_->first_sequence + result.records.size();
    std::optional<Found> found;
    Status status = ReadRecord(at, file_bytes, sequence, found, result.damage);
    if (!status.ok()) return status;
    if (!found) break;
    result.records.push_back(*found);
    at = found->End();
  }
  end_ = at;
  return result;
}

/// Leaves `found` empty at the end, with `damage` if it is not a natural one.
Status Segment::ReadRecord(uint64_t at, uint64_t file_bytes, uint64_t sequence, std::optional<Found>& found,
                           std::string& damage) const {
  if (file_bytes - at < kRecordHeaderBytes) return Status::Ok();
  std::array<uint8_t, kRecordHeaderBytes> octets;
  HAVEN_RETURN_IF_ERROR(Read(at, octets));
  if (!RecordChecks(octets)) {
    damage = Where(at) + ": its header does not match its checksum";
    return Status::Ok();
  }
  Result<RecordHeader> header = DecodeRecordHeader(octets);
  if (!header.ok()) {
    return header.status().With(Where(at) +
                                " was not written by this version (move the journal away "
                                "to begin a new one and copy the disks again)");
  }
  const RecordHeader& record = header.value();
  if (record.sequence != sequence) {
    damage = Where(at) + ": it has sequence number " + std::to_string(record.sequence) + " where " +
             std::to_string(sequence) + " is due";
    return Status::Ok();
  }
  const Found candidate{record, at};
  if (record.DataBytes() > file_bytes - candidate.DataAt()) return Status::Ok();
  if (record.kind == Kind::kWrite) {
    Result<uint32_t> crc = DataCrc(candidate.DataAt(), record.bytes);
    if (!crc.ok()) return crc.status();
    if (crc.value() != record.data_crc) {
      damage = Where(at) + ": its data does not match its checksum";
      return Status::Ok();
    }
  }
  found = candidate;
  return Status::Ok();
}

Result<uint32_t> Segment::DataCrc(uint64_t at, uint64_t bytes) const {
  Bytes buffer(std::min<uint64_t>(bytes, kReadBytes));
  uint32_t crc = 0;
  while (bytes > 0) {
    const std::span<uint8_t> part(buffer.data(), std::min<uint64_t>(bytes, buffer.size()));
    HAVEN_RETURN_IF_ERROR(Read(at, part));
    crc = Crc32c(part, crc);
    at += part.size();
    bytes -= part.size();
  }
  return crc;
}

Status Segment::Begin(const FileHeader& header) {
  HAVEN_ASSERT(free());
  if (!name_synced_) HAVEN_RETURN_IF_ERROR(os::SyncFolderOf(path_));
  name_synced_ = true;
  const Bytes octets = Encode(header);
  int error = os::WriteAllAt(fd_, octets, {}, 0);
  // Before any record: a file whose header is not all there holds nothing.
  if (error == 0 && os::Files::Here().SyncData(fd_) != 0) error = errno;
  if (error != 0) {
    [[maybe_unused]] const int cut = os::Files::Here().Truncate(fd_, 0);
    errno = error;
    return Failed("begin");
  }
  header_ = header;
  end_ = octets.size();
  return Status::Ok();
}

Status Segment::Append(const RecordHeader& record, ByteSpan data) {
  HAVEN_ASSERT(!free() && record.DataBytes() == data.size());
  const Bytes octets = Encode(record);
  if (record.IsRequest()) WriteLate();
  const bool late = !data.empty() && BreakRequested("commit-mark-before-data");
  if (late) {
    late_.assign(data.begin(), data.end());
    late_at_ = end_ + octets.size();
  }
  const int error = os::WriteAllAt(fd_, octets, late ? ByteSpan() : data, end_);
  unsynced_ = true;
  if (error != 0) {
    // Gives the space back; recovery copes with the rest if that fails, too.
    [[maybe_unused]] const int cut = os::Files::Here().Truncate(fd_, static_cast<off_t>(end_));
    errno = error;
    return Failed("write to");
  }
  end_ += octets.size() + data.size();
  return Status::Ok();
}

Status Segment::Read(uint64_t at, std::span<uint8_t> out) const {
  WriteLate();
  while (!out.empty()) {
    const ssize_t n = pread(fd_, out.data(), out.size(), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Failed("read");
    if (n == 0) return Status(StatusCode::kEnvironment, "the journal " + path_ + " became shorter while in use");
    at += static_cast<uint64_t>(n);
    out = out.subspan(n);
  }
  return Status::Ok();
}

Status Segment::Cut(uint64_t end) {
  HAVEN_ASSERT(!free() && end >= kFileHeaderBytes);
  if (os::Files::Here().Truncate(fd_, static_cast<off_t>(end)) != 0) return Failed("shorten");
  end_ = end;
  unsynced_ = true;
  return Status::Ok();
}

Status Segment::Clear() {
  if (os::Files::Here().Truncate(fd_, 0) != 0) return Failed("shorten");
  header_.reset();
  end_ = 0;
  unsynced_ = false;
  return Status::Ok();
}

void Segment::WriteLate() const {
  if (late_.empty()) return;
  (void)os::WriteAllAt(fd_, std::exchange(late_, {}), {}, late_at_);
}

Status Segment::Sync() {
  if (!unsynced_) return Status::Ok();
  if (os::Files::Here().SyncData(fd_) != 0) return Failed("sync");
  unsynced_ = false;
  return Status::Ok();
}

}  // namespace haven::blkrep::journal
