// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/replica_rules.h"

#include <sys/stat.h>

#include <algorithm>

#include "blkrep/disk_content.h"
#include "blkrep/disk_mark.h"

namespace haven::session {
namespace {

const blkrep::GuestRecord::Disk* Known(const blkrep::GuestRecord& record, const std::string& name) {
  for (const auto& disk : record.disks) {
    if (disk.name == name) return &disk;
  }
  return nullptr;
}

/// Not there, or a file without an octet.
bool IsMissing(const std::string& path, uint64_t& file_bytes, bool& is_file) {
  struct stat st;
  if (stat(path.c_str(), &st) != 0) return true;
  is_file = S_ISREG(st.st_mode);
  file_bytes = static_cast<uint64_t>(st.st_size);
  return is_file && st.st_size == 0;
}

std::string Octets(uint64_t bytes) { return std::to_string(bytes) + " octets"; }

/// Of a path that this guest's record does not know.
Status RefuseUnlessBlank(const std::string& guest, const wire::Layout::Disk& disk, const std::string& path,
                         bool other_size, uint64_t file_bytes) {
  auto content = blkrep::InspectContent(path);
  if (!content.ok()) return content.status();
  if (content.value().blank && !other_size) return Status::Ok();
  std::string what = path + ", the replica of disk " + disk.name + ", holds " + content.value().what;
  if (other_size) what += " and has " + Octets(file_bytes) + ", the guest's disk has " + Octets(disk.bytes);
  return Refused(what + ", and nothing says that it is a replica of guest " + guest +
                 ": configure another path, or run haven adopt " + guest + " on the backup to have it overwritten");
}

}  // namespace

Result<ReplicaRuling> RuleOnReplica(const ReplicaSetting& setting, const blkrep::GuestRecord& record,
                                    const wire::Layout::Disk& disk) {
  const auto path = setting.paths.find(disk.name);
  if (path == setting.paths.end()) return Refused("the backup's configuration names no replica for disk " + disk.name);
  uint64_t file_bytes = 0;
  bool is_file = false;
  if (IsMissing(path->second, file_bytes, is_file)) return ReplicaRuling{{.create = setting.create}};
  const bool other_size = is_file && file_bytes != disk.bytes;
  auto bond = blkrep::ReadBond(path->second);
  if (!bond.ok()) return bond.status();
  const auto* known = Known(record, disk.name);
  const bool ours = known != nullptr && !known->bond.empty() && known->bond == blkrep::ToText(bond.value());
  if (ours && record.adopted) return ReplicaRuling{{.create = setting.create, .resize = true}};
  if (ours && other_size) {
    return Refused("disk " + disk.name + " of guest " + setting.guest + " has " + Octets(disk.bytes) +
                   " now, its replica " + path->second + " has " + Octets(file_bytes) +
                   ": to have the replica follow, run haven adopt " + setting.guest + " on the backup");
  }
  if (ours) return ReplicaRuling{{}, true};
  if (bond.value().kind == blkrep::DiskBond::Kind::kFile && bond.value().id != wire::Token{}) {
    return Refused(path->second + ", the replica of disk " + disk.name +
                   ", carries the mark of another disk or guest (a copy, or in use elsewhere?): " +
                   "configure another path, or run haven adopt " + setting.guest +
                   " on the backup to have it overwritten");
  }
  HAVEN_RETURN_IF_ERROR(RefuseUnlessBlank(setting.guest, disk, path->second, other_size, file_bytes));
  return ReplicaRuling{};
}

Status CheckBonds(const blkrep::GuestRecord& record) {
  for (const auto& disk : record.disks) {
    auto bond = blkrep::ReadBond(disk.path);
    if (!bond.ok()) return bond.status();
    if (disk.bond.empty() || blkrep::ToText(bond.value()) != disk.bond) {
      return Refused(disk.path + " is not the disk that was disk " + disk.name + " of guest " + record.guest +
                     " (replaced, or restored as another file?)");
    }
  }
  return Status::Ok();
}

Result<std::vector<blkrep::GuestRecord::Disk>> BindDisks(const std::string& guest,
                                                         const std::vector<wire::Layout::Disk>& disks,
                                                         const std::map<std::string, std::string>& paths,
                                                         blkrep::Claim claim) {
  std::vector<blkrep::GuestRecord::Disk> bound;
  for (const auto& disk : disks) {
    const auto path = paths.find(disk.name);
    if (path == paths.end() || path->second.empty()) {
      bound.push_back({disk.name, "", disk.bytes, ""});  // on no disk of this host: nothing to bind to
      continue;
    }
    auto bond = blkrep::MakeBond(path->second, guest, claim);
    if (!bond.ok()) return bond.status();
    bound.push_back({disk.name, path->second, disk.bytes, blkrep::ToText(bond.value())});
  }
  return bound;
}

std::string MarkedReplica(const ReplicaSetting& setting) {
  for (const auto& [name, path] : setting.paths) {
    const auto mark = blkrep::ReadMark(path);
    if (!mark.ok() || mark.value().state != blkrep::DiskMark::State::kMarked) continue;
    if (mark.value().guest == setting.guest && !mark.value().copied) return path;
  }
  return {};
}

std::string DescribeReplicas(const ReplicaSetting& setting) {
  std::string text;
  for (const auto& [name, path] : setting.paths) {
    uint64_t file_bytes = 0;
    bool is_file = false;
    if (!text.empty()) text += "; ";
    text += "disk " + name + ": " + path;
    if (IsMissing(path, file_bytes, is_file)) {
      text += " (is not there)";
      continue;
    }
    auto content = blkrep::InspectContent(path);
    text += ", " + (is_file ? Octets(file_bytes) + ", " : std::string()) +
            (content.ok() ? content.value().what : content.status().message());
  }
  return text;
}

}  // namespace haven::session
