/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "havend/incoming_stream.h"

#include <algorithm>
#include <cstring>

#include "core/epoch.h"

namespace haven::havend {

namespace {

// migration/savevm.h and migration/qemu-file-types.h of QEMU.
constexpr uint8_t kEndOfFile = 0x00;
constexpr uint8_t kSectionFull = 0x04;
constexpr uint8_t kVmDescription = 0x06;
constexpr uint8_t kConfiguration = 0x07;
constexpr uint8_t kSectionFooter = 0x7e;
constexpr uint32_t kFileMagic = 0x5145564d;  // "QEVM"
constexpr uint32_t kFileVersion = 3;
constexpr size_t kFileHeadBytes = 8;

// migration/ram.c: flags in the low bits of a page's address.
constexpr uint32_t kRamVersion = 4;
constexpr uint64_t kRamZero = 0x02;
constexpr uint64_t kRamMemSize = 0x04;
constexpr uint64_t kRamPage = 0x08;
constexpr uint64_t kRamEndOfSection = 0x10;
constexpr uint64_t kRamContinue = 0x20;

/// Of the footer only; QEMU finds a full section by its name.
constexpr uint32_t kRamSectionId = 0;

/// Appends integers in QEMU's byte order, big-endian.
class StreamWriter {
 public:
  explicit StreamWriter(Bytes& out) : out_(out) {}
  void U8(uint8_t v) { out_.push_back(v); }
  void U32(uint32_t v) { Big(v, 4); }
  void U64(uint64_t v) { Big(v, 8); }
  void Raw(const void* data, size_t bytes) {
    const auto* from = static_cast<const uint8_t*>(data);
    out_.insert(out_.end(), from, from + bytes);
  }
  void CountedString(const std::string& s) {
    U8(static_cast<uint8_t>(s.size()));
    Raw(s.data(), s.size());
  }

 private:
  void Big(uint64_t v, int bytes) {
    for (int i = bytes - 1; i >= 0; i--) out_.push_back(static_cast<uint8_t>(v >> (8 * i)));
  }
  Bytes& out_;
};

uint32_t ReadU32(ByteSpan in) { return uint32_t{in[0]} << 24 | uint32_t{in[1]} << 16 | uint32_t{in[2]} << 8 | in[3]; }

bool IsZeroPage(const uint8_t* page) {
  // A page is zero if its first octet is and each equals its neighbour.
  return page[0] == 0 && memcmp(page, page + 1, kPageBytes - 1) == 0;
}

/// Zero pages are written too: the receiver's block may hold a ROM's content.
void WritePages(StreamWriter& writer, const StreamRegion& region) {
  bool named = false;
  for (uint64_t offset = 0; offset < region.bytes; offset += kPageBytes) {
    const uint8_t* page = region.data + offset;
    const bool zero = IsZeroPage(page);
    writer.U64(offset | (zero ? kRamZero : kRamPage) | (named ? kRamContinue : 0));
    if (!named) writer.CountedString(region.name);
    named = true;
    if (zero) {
      writer.U8(0);
    } else {
      writer.Raw(page, kPageBytes);
    }
  }
}

void WriteRamSection(StreamWriter& writer, const std::vector<StreamRegion>& regions) {
  uint64_t total = 0;
  for (const StreamRegion& region : regions) total += region.bytes;
  writer.U8(kSectionFull);
  writer.U32(kRamSectionId);
  writer.CountedString("ram");
  writer.U32(0);  // instance
  writer.U32(kRamVersion);
  writer.U64(total | kRamMemSize);
  for (const StreamRegion& region : regions) {
    writer.CountedString(region.name);
    writer.U64(region.bytes);
  }
  for (const StreamRegion& region : regions) WritePages(writer, region);
  writer.U64(kRamEndOfSection);
  writer.U8(kSectionFooter);
  writer.U32(kRamSectionId);
}

Status CheckDeviceState(ByteSpan state) {
  if (state.size() <= kFileHeadBytes || ReadU32(state) != kFileMagic || ReadU32(state.subspan(4)) != kFileVersion) {
    return Status(StatusCode::kProtocol,
                  "the device state is no QEMU stream of version " + std::to_string(kFileVersion));
  }
  if (state[kFileHeadBytes] != kSectionFull || state.back() != kEndOfFile) {
    return Status(StatusCode::kProtocol, "the device state is not made of whole device sections");
  }
  return Status::Ok();
}

}  // namespace

Result<Bytes> ComposeIncomingStream(const std::string& machine, const std::vector<StreamRegion>& regions,
                                    ByteSpan device_state) {
  HAVEN_RETURN_IF_ERROR(CheckDeviceState(device_state));
  uint64_t bytes = device_state.size() + 4096;
  for (const StreamRegion& region : regions) {
    if (region.name.size() > 255 || region.bytes % kPageBytes != 0) {
      return Status(StatusCode::kProtocol, "memory region " + region.name + " has a bad name or size");
    }
    bytes += region.bytes / kPageBytes * 16;
  }
  Bytes stream;
  stream.reserve(bytes);
  StreamWriter writer(stream);
  writer.Raw(device_state.data(), kFileHeadBytes);
  writer.U8(kConfiguration);
  writer.U32(static_cast<uint32_t>(machine.size()));
  writer.Raw(machine.data(), machine.size());
  if (!regions.empty()) WriteRamSection(writer, regions);
  writer.Raw(device_state.data() + kFileHeadBytes, device_state.size() - kFileHeadBytes);
  // An empty description of the device sections: QEMU complains when it is absent.
  writer.U8(kVmDescription);
  writer.U32(0);
  return stream;
}

}  // namespace haven::havend
