// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/guest_record.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "core/assert.h"
#include "core/crc32c.h"
#include "os/durable_file.h"
#include "os/sync_folder.h"

namespace haven::blkrep {
namespace {

constexpr size_t kCrcAt = 4;
constexpr size_t kCrcEnd = 8;
constexpr size_t kLeastBytes = 12;

/// Bits of the flags, in the order of the members.
constexpr bool GuestRecord::*const kFlags[] = {&GuestRecord::life_ended, &GuestRecord::partial, &GuestRecord::discarded,
                                               &GuestRecord::adopted,    &GuestRecord::synced,  &GuestRecord::given};
/// The next bit: the time since when a primary is alone is there.
constexpr uint32_t kPrimaryAloneFlag = 1u << std::size(kFlags);

uint32_t CrcOf(ByteSpan file) { return Crc32c(file.subspan(kCrcEnd), Crc32c(file.first(kCrcAt))); }

std::string PathOf(const std::string& folder) { return folder + "/generation"; }

Status Invalid(const std::string& what) { return {StatusCode::kInvalid, what}; }

void WriteDisks(ByteWriter& w, const std::vector<GuestRecord::Disk>& disks) {
  w.U32(static_cast<uint32_t>(disks.size()));
  for (const GuestRecord::Disk& disk : disks) {
    w.U64(disk.bytes);
    w.String(disk.name);
    w.String(disk.path);
    w.String(disk.bond);
  }
}

Status ReadDisks(ByteReader& r, std::vector<GuestRecord::Disk>& disks) {
  const uint32_t count = r.U32();
  if (count > wire::kMaxDisks) return Invalid("it has too many disks");
  for (uint32_t i = 0; i < count && r.ok(); i++) {
    GuestRecord::Disk disk;
    disk.bytes = r.U64();
    disk.name = r.String();
    disk.path = r.String();
    disk.bond = r.String();
    disks.push_back(std::move(disk));
  }
  return Status::Ok();
}

}  // namespace

void GuestRecord::Discard() {
  discarded = life_ended = true;
  adopted = false;
  role = wire::Role::kNone;
  lineage = Lineage();
}

Bytes Encode(const GuestRecord& record) {
  Bytes out;
  ByteWriter w(out);
  w.U32(kRecordFileMagic);
  w.U32(0);  // checksum
  w.U16(kRecordFileVersion);
  w.U8(static_cast<uint8_t>(record.role));
  w.U8(static_cast<uint8_t>(record.on_start));
  uint32_t flags = 0;
  for (size_t bit = 0; bit < std::size(kFlags); bit++) flags |= static_cast<uint32_t>(record.*kFlags[bit]) << bit;
  if (record.primary_alone_s != 0) flags |= kPrimaryAloneFlag;
  w.U32(flags);
  w.U32(record.start_wait_s);
  w.Raw(record.life);
  w.Raw(record.session);
  w.Raw(record.boot);
  w.U64(record.epoch);
  w.U64(record.committed_s);
  WriteLineage(w, record.lineage);
  w.String(record.guest);
  w.String(record.backup_host);
  w.String(record.backup_port);
  w.String(record.arbiter);
  WriteDisks(w, record.disks);
  if (record.primary_alone_s != 0) w.U64(record.primary_alone_s);
  const uint32_t crc = CrcOf(out);
  for (size_t i = 0; i < 4; i++) out[kCrcAt + i] = static_cast<uint8_t>(crc >> (8 * i));
  return out;
}

Result<GuestRecord> DecodeGuestRecord(ByteSpan in) {
  ByteReader r(in);
  if (in.size() < kLeastBytes || r.U32() != kRecordFileMagic) return Invalid("it is not a record of HAVEN");
  if (r.U32() != CrcOf(in)) return Invalid("it does not match its checksum");
  const uint16_t version = r.U16();
  if (version != kRecordFileVersion) {
    return Invalid("it has format version " + std::to_string(version) + ", this program reads version " +
                   std::to_string(kRecordFileVersion));
  }
  GuestRecord record;
  const uint8_t role = r.U8(), on_start = r.U8();
  const uint32_t flags = r.U32();
  record.start_wait_s = r.U32();
  record.life = wire::ReadToken(r);
  record.session = wire::ReadToken(r);
  record.boot = wire::ReadToken(r);
  record.epoch = r.U64();
  record.committed_s = r.U64();
  const std::string why_not = ReadLineage(r, record.lineage);
  if (!why_not.empty()) return Invalid("it has " + why_not);
  record.guest = r.String();
  record.backup_host = r.String();
  record.backup_port = r.String();
  record.arbiter = r.String();
  HAVEN_RETURN_IF_ERROR(ReadDisks(r, record.disks));
  const bool primary_alone = (flags & kPrimaryAloneFlag) != 0;
  if (primary_alone) record.primary_alone_s = r.U64();
  if (!r.AtEnd()) return Invalid(r.ok() ? "octets are left over" : "it is too short");
  if (role > static_cast<uint8_t>(wire::Role::kBackup) ||
      on_start > static_cast<uint8_t>(GuestRecord::OnStart::kStart) || flags >= kPrimaryAloneFlag << 1) {
    return Invalid("it has a role, a policy or flags that this version does not know");
  }
  if (primary_alone && record.primary_alone_s == 0)
    return Invalid("it has a primary that is alone, and not since when");
  record.role = static_cast<wire::Role>(role);
  record.on_start = static_cast<GuestRecord::OnStart>(on_start);
  for (size_t bit = 0; bit < std::size(kFlags); bit++) record.*kFlags[bit] = (flags >> bit & 1) != 0;
  return record;
}

Result<std::optional<GuestRecord>> LoadGuestRecord(const std::string& folder) {
  const std::string path = PathOf(folder);
  std::error_code error;
  const auto bytes = std::filesystem::file_size(path, error);
  if (error == std::errc::no_such_file_or_directory) return std::optional<GuestRecord>();
  if (error) return Status::FromErrno(error.value(), "cannot read " + path);
  std::ifstream file(path, std::ios::binary);
  Bytes octets(std::min<uintmax_t>(bytes, kMaxRecordFileBytes));
  if (!file.read(reinterpret_cast<char*>(octets.data()), static_cast<std::streamsize>(octets.size()))) {
    return Status(StatusCode::kEnvironment, "cannot read " + path);
  }
  auto record = DecodeGuestRecord(octets);
  if (record.ok()) return std::optional<GuestRecord>(std::move(record.value()));
  return record.status().With("cannot use " + path + ", which says how new this host's copy of the guest is");
}

Status MakeStateFolder(const std::string& folder) {
  std::error_code error;
  const bool made = std::filesystem::create_directories(folder, error);
  if (error) return Status::FromErrno(error.value(), "cannot make the folder " + folder);
  if (!made) return Status::Ok();
  std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
  return os::SyncFolderOf(folder);
}

Status SaveGuestRecord(const std::string& folder, const GuestRecord& record) {
  HAVEN_RETURN_IF_ERROR(MakeStateFolder(folder));
  return os::ReplaceFileDurably(PathOf(folder), Encode(record));
}

}  // namespace haven::blkrep
