// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/disk_content.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "blkrep/blkid_probe.h"
#include "blkrep/open_disk.h"
#include "blkrep/printable.h"
#include "core/bytes.h"

namespace haven::blkrep {
namespace {

constexpr uint64_t kEdgeBytes = 1 << 20;
constexpr uint8_t kQcow2Magic[] = {'Q', 'F', 'I', 0xfb};

/// The octets there; fewer when the disk has become shorter.
Result<Bytes> ReadAt(int fd, uint64_t offset, uint64_t bytes) {
  Bytes out(bytes);
  size_t done = 0;
  while (done < bytes) {
    const ssize_t n = pread(fd, out.data() + done, bytes - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Status::FromErrno(errno, "cannot read octet " + std::to_string(offset + done));
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  out.resize(done);
  return out;
}

bool IsZero(const Bytes& octets) {
  return std::all_of(octets.begin(), octets.end(), [](uint8_t octet) { return octet == 0; });
}

std::string WithArticle(const std::string& noun) {
  const bool vowel = !noun.empty() && std::string("aeiou").find(noun[0]) != std::string::npos;
  return (vowel ? "an " : "a ") + noun;
}

/// @param usage  libblkid's word for what such a thing is for.
std::string NameOf(const std::string& type, const std::string& usage, const std::string& label) {
  std::string name;
  if (usage == "filesystem") {
    name = WithArticle(type + " file system");
  } else if (usage == "raid") {
    name = "a part of a RAID or volume group (" + type + ")";
  } else if (usage == "crypto") {
    name = "encrypted data (" + type + ")";
  } else if (type == "swap") {
    name = "a swap area";
  } else {
    name = "data of type " + type;
  }
  return label.empty() ? name : name + " (label " + Printable(label) + ")";
}

/// What libblkid finds; empty: nothing.
Result<std::string> FindSignature(const OpenedDisk& disk) {
  BlkidProbe probe(disk);
  if (!probe.ok()) return Status(StatusCode::kEnvironment, "libblkid cannot look at it");
  blkid_probe_enable_superblocks(probe.get(), 1);
  blkid_probe_set_superblocks_flags(probe.get(),
                                    BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL | BLKID_SUBLKS_USAGE | BLKID_SUBLKS_BADCSUM);
  blkid_probe_enable_partitions(probe.get(), 1);
  constexpr int kNothing = 1, kAmbivalent = -2;
  const int found = blkid_do_safeprobe(probe.get());
  if (found == kNothing) return std::string();
  if (found == kAmbivalent) return std::string("signatures of more than one kind");
  if (found < 0) return Status(StatusCode::kEnvironment, "libblkid cannot read it");
  const std::string type = probe.Value("TYPE"), table = probe.Value("PTTYPE");
  if (!type.empty()) return NameOf(Printable(type), probe.Value("USAGE"), probe.Value("LABEL"));
  return WithArticle(Printable(table) + " partition table");
}

Result<DiskContent> Inspect(const OpenedDisk& disk) {
  const auto bytes = disk.Bytes();
  if (!bytes.ok()) return bytes.status();
  const uint64_t edge = std::min(bytes.value(), kEdgeBytes);
  const auto first = ReadAt(disk.fd(), 0, edge);
  if (!first.ok()) return first.status();
  const auto last = ReadAt(disk.fd(), bytes.value() - edge, edge);
  if (!last.ok()) return last.status();
  if (std::equal(std::begin(kQcow2Magic), std::end(kQcow2Magic), first.value().begin(),
                 first.value().begin() + std::min<size_t>(first.value().size(), sizeof(kQcow2Magic))))
    return DiskContent{false, "a qcow2 image"};
  if (bytes.value() > 0) {
    auto signature = FindSignature(disk);
    if (!signature.ok()) return signature.status();
    if (!signature.value().empty()) return DiskContent{false, signature.value()};
  }
  if (!IsZero(first.value()) || !IsZero(last.value())) return DiskContent{false, "data that is not known"};
  return DiskContent{true, "nothing (blank)"};
}

}  // namespace

Result<DiskContent> InspectContent(const std::string& path) {
  auto disk = OpenDisk(path, O_RDONLY);
  if (!disk.ok()) return disk.status();
  auto content = Inspect(disk.value());
  if (!content.ok()) return content.status().With(path);
  return content;
}

}  // namespace haven::blkrep
