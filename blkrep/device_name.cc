// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/device_name.h"

#include "blkrep/blkid_probe.h"
#include "blkrep/block_device.h"
#include "blkrep/printable.h"
#include "core/host_boot.h"

namespace haven::blkrep {
namespace {

constexpr size_t kMaxNameCharacters = 255;

std::string PartitionUuid(const OpenedDisk& partition) {
  BlkidProbe probe(partition);
  if (!probe.ok()) return "";
  blkid_probe_enable_superblocks(probe.get(), 0);
  blkid_probe_enable_partitions(probe.get(), 1);
  blkid_probe_set_partitions_flags(probe.get(), BLKID_PARTS_ENTRY_DETAILS);
  // 1: there is no table in the partition, which says nothing about the entry it has.
  if (blkid_do_fullprobe(probe.get()) < 0) return "";
  return probe.Value("PART_ENTRY_UUID");
}

}  // namespace

std::string LastingDeviceName(const OpenedDisk& device) {
  const dev_t number = device.st().st_rdev;
  const std::string folder = SysfsFolder(number);
  struct Source {
    const char* kind;
    std::string name;
  };
  const bool partition = IsPartition(number);
  // What a partition's disk is called says not which partition of it this is.
  const Source sources[] = {
      {"dm:", FirstLine(folder + "/dm/uuid")},
      {"partuuid:", partition ? PartitionUuid(device) : ""},
      {"wwid:", partition ? "" : FirstLine(folder + "/wwid")},
      {"wwid:", partition ? "" : FirstLine(folder + "/device/wwid")},
      {"serial:", partition ? "" : FirstLine(folder + "/serial")},
      {"serial:", partition ? "" : FirstLine(folder + "/device/serial")},
  };
  for (const Source& source : sources) {
    if (!source.name.empty()) return source.kind + Printable(source.name, kMaxNameCharacters);
  }
  return "boot:" + BootId() + ":" + DeviceNumber(number);
}

}  // namespace haven::blkrep
