/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_DISK_BOND_H
#define HAVEN_BLKREP_DISK_BOND_H

#include <cstdint>
#include <string>

#include "core/records.h"
#include "core/status.h"

namespace haven::blkrep {

/// What ties a record to one disk. It outlives a reboot and a new device number;
/// a copy of the disk has another one (of a device: as far as the device itself
/// can be told from others, which the UUID of a partition on a copied disk cannot).
struct DiskBond {
  enum class Kind : uint8_t { kNone = 0, kFile = 1, kDevice = 2 };
  Kind kind = Kind::kNone;
  wire::Token id{};      ///< kFile: of its mark; all zero: the file system has no attributes for one
  uint64_t inode = 0;    ///< kFile
  int64_t birth_ns = 0;  ///< kFile: 0 if the file system does not say
  /// kDevice: "dm:UUID", "partuuid:UUID", "loop:..." (the bond of the file behind it),
  /// "wwid:...", "serial:..."; else "boot:BOOT-ID:MAJ:MIN", good until the next boot only.
  std::string device;
  bool operator==(const DiskBond&) const = default;
};

/// The bond as it is now; kNone: a file without a mark, or a loop device on one.
/// Opens read-only, no side effect. Blocks; any thread.
/// @return kInvalid if it is neither file nor block device; kEnvironment with errno.
Result<DiskBond> ReadBond(const std::string& path);

/// One line that two equal bonds have in common, and no others; empty: kNone.
std::string ToText(const DiskBond& bond);

/// Whether the mark of another guest stands in the way.
enum class Claim { kUnlessMarked, kWhosever };
/// As ReadBond(), and gives a file its mark first, durably, if it has none or that of
/// the file it is a copy of.
/// @return kRefused if the file carries the mark of another guest, or one that
///         cannot be read: it may be somebody's. With kWhosever it gets a new one.
Result<DiskBond> MakeBond(const std::string& path, const std::string& guest, Claim claim = Claim::kUnlessMarked);

}  // namespace haven::blkrep

#endif
