// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/disk_bond.h"

#include <fcntl.h>

#include <optional>

#include "blkrep/block_device.h"
#include "blkrep/device_name.h"
#include "blkrep/disk_mark.h"
#include "blkrep/open_disk.h"
#include "blkrep/printable.h"
#include "core/random_token.h"

namespace haven::blkrep {
namespace {

Result<DiskBond> FileBond(const OpenedDisk& file) {
  auto mark = ReadMark(file.fd());
  if (!mark.ok()) return mark.status();
  const bool has_id = mark.value().state == DiskMark::State::kMarked;
  if (!has_id && mark.value().state != DiskMark::State::kUnsupported) return DiskBond{};
  return DiskBond{DiskBond::Kind::kFile, mark.value().id, file.st().st_ino, BirthOf(file.fd()), ""};
}

/// The file behind a loop device is what lasts.
DiskBond LoopBond(const DiskBond& file, const LoopBacking& backing) {
  if (file.kind == DiskBond::Kind::kNone) return {};
  DiskBond bond;
  bond.kind = DiskBond::Kind::kDevice;
  bond.device = "loop:" + Hex(file.id) + ":" + std::to_string(file.inode) + ":" + std::to_string(file.birth_ns) + ":" +
                std::to_string(backing.offset);
  return bond;
}

DiskBond DeviceBond(const OpenedDisk& device) {
  DiskBond bond;
  bond.kind = DiskBond::Kind::kDevice;
  bond.device = LastingDeviceName(device);
  return bond;
}

Status RefuseForeignMark(const DiskMark& mark, const std::string& guest) {
  const std::string remedy = ": use another file, or remove that mark (setfattr -x user.haven FILE)";
  if (mark.state == DiskMark::State::kUnreadable)
    return {StatusCode::kRefused, "its mark, the attribute user.haven, cannot be read" + remedy};
  if (mark.guest == guest) return Status::Ok();
  return {StatusCode::kRefused, "it is marked as a disk of guest " + Printable(mark.guest) + remedy};
}

/// Who wants to have a disk.
struct Owner {
  const std::string& guest;
  Claim claim;
};

Status MarkFile(const OpenedDisk& file, const Owner& owner) {
  auto found = ReadMark(file.fd());
  if (!found.ok()) return found.status();
  const DiskMark& mark = found.value();
  if (mark.state == DiskMark::State::kUnsupported) return Status::Ok();
  if (mark.state != DiskMark::State::kNone && !mark.copied) {
    const Status free = RefuseForeignMark(mark, owner.guest);
    if (free.ok() || owner.claim == Claim::kUnlessMarked) return free;
  }
  return WriteMark(file.fd(),
                   {DiskMark::State::kMarked, RandomToken(), file.st().st_ino, BirthOf(file.fd()), owner.guest});
}

/// @param owner  nullptr: nothing is written.
Result<DiskBond> BondOf(const std::string& path, const Owner* owner) {
  auto disk = OpenDisk(path, O_RDONLY);
  if (!disk.ok()) return disk.status();
  if (disk.value().device()) {
    const auto backing = BackingOf(disk.value().st().st_rdev);
    if (!backing) return DeviceBond(disk.value());
    auto file = BondOf(backing->path, owner);
    if (!file.ok()) return file.status().With(path);
    return LoopBond(file.value(), *backing);
  }
  if (owner != nullptr) {
    const Status marked = MarkFile(disk.value(), *owner);
    if (!marked.ok()) return marked.With(path);
  }
  auto bond = FileBond(disk.value());
  if (!bond.ok()) return bond.status().With(path);
  return bond;
}

}  // namespace

Result<DiskBond> ReadBond(const std::string& path) { return BondOf(path, nullptr); }

Result<DiskBond> MakeBond(const std::string& path, const std::string& guest, Claim claim) {
  const Owner owner{guest, claim};
  return BondOf(path, &owner);
}

std::string ToText(const DiskBond& bond) {
  switch (bond.kind) {
    case DiskBond::Kind::kNone: return "";
    case DiskBond::Kind::kDevice: return "device " + bond.device;
    case DiskBond::Kind::kFile:
      return "file " + Hex(bond.id) + " " + std::to_string(bond.inode) + " " + std::to_string(bond.birth_ns);
  }
  return "";
}

}  // namespace haven::blkrep
