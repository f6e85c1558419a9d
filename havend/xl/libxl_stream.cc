// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/xl/libxl_stream.h"

#include "core/assert.h"
#include "core/epoch.h"

namespace haven::havend {
namespace {

// xl
constexpr char kXlMagic[] = "Xen saved domain, xl format\n \0 \r";  // 32 octets
constexpr size_t kXlMagicBytes = 32;
constexpr uint32_t kXlByteOrder = 0x01020304;
constexpr uint32_t kXlJsonConfig = 1u << 0;
constexpr uint32_t kXlStreamV2 = 1u << 1;

// libxl
constexpr uint64_t kLibxlIdent = 0x4c6962786c466d74;  // "LibxlFmt"
constexpr uint32_t kLibxlVersion = 2;
enum LibxlRecord : uint32_t {
  kLibxlEnd = 0,
  kLibxlLibxcContext = 1,
  kLibxlEmulatorContext = 3,
  kLibxlCheckpointEnd = 4,
};
constexpr uint32_t kEmulatorQemuUpstream = 2;

// libxc
constexpr uint32_t kLibxcIdent = 0x58454e46;  // "XENF"
constexpr uint32_t kLibxcVersion = 3;
constexpr uint32_t kDomainX86Hvm = 2;
constexpr uint16_t kPageShift = 12;
enum LibxcRecord : uint32_t {
  kLibxcEnd = 0x0,
  kLibxcPageData = 0x1,
  kLibxcTscInfo = 0x8,
  kLibxcHvmContext = 0x9,
  kLibxcHvmParams = 0xa,
  kLibxcCheckpoint = 0xe,
  kLibxcStaticDataEnd = 0x10,
  kLibxcCpuidPolicy = 0x11,
  kLibxcMsrPolicy = 0x12,
};

/// The two stream headers are big-endian, all else is not.
void AppendBig(uint64_t value, int bytes, Bytes& out) {
  for (int i = bytes - 1; i >= 0; i--) out.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

void Pad(Bytes& out, size_t body_bytes) { out.insert(out.end(), (8 - body_bytes % 8) % 8, 0); }

void AppendRecord(uint32_t type, ByteSpan body, Bytes& out) {
  ByteWriter w(out);
  w.U32(type);
  w.U32(static_cast<uint32_t>(body.size()));
  w.Raw(body);
  Pad(out, body.size());
}

void AppendEmpty(uint32_t type, Bytes& out) { AppendRecord(type, {}, out); }

void AppendTsc(const xen::TscInfo& tsc, Bytes& out) {
  Bytes body;
  ByteWriter w(body);
  w.U32(tsc.mode);
  w.U32(tsc.khz);
  w.U64(tsc.nsec);
  w.U32(tsc.incarnation);
  w.U32(0);
  AppendRecord(kLibxcTscInfo, body, out);
}

void AppendParams(const std::vector<xen::HvmParam>& params, Bytes& out) {
  if (params.empty()) return;
  Bytes body;
  ByteWriter w(body);
  w.U32(static_cast<uint32_t>(params.size()));
  w.U32(0);
  for (const xen::HvmParam& param : params) {
    w.U64(param.index);
    w.U64(param.value);
  }
  AppendRecord(kLibxcHvmParams, body, out);
}

void AppendCpuState(const xen::DomainState& state, Bytes& out) {
  AppendTsc(state.tsc, out);
  AppendRecord(kLibxcHvmContext, state.hvm_context, out);
  AppendParams(state.hvm_params, out);
}

void AppendEmulator(const Bytes& device_model, Bytes& out) {
  ByteWriter w(out);
  w.U32(kLibxlEmulatorContext);
  w.U32(static_cast<uint32_t>(device_model.size() + 8));
  w.U32(kEmulatorQemuUpstream);
  w.U32(0);  // index
  w.Raw(device_model);
  Pad(out, device_model.size() + 8);
}

}  // namespace

void AppendXlHeader(const std::string& config, Bytes& out) {
  static_assert(sizeof(kXlMagic) == kXlMagicBytes + 1);
  ByteWriter w(out);
  w.Raw({reinterpret_cast<const uint8_t*>(kXlMagic), kXlMagicBytes});
  // xl takes the text as a C string.
  const uint32_t config_bytes = static_cast<uint32_t>(config.size() + 1);
  w.U32(kXlByteOrder);
  w.U32(kXlJsonConfig | kXlStreamV2);
  w.U32(0);
  w.U32(4 + config_bytes);
  w.U32(config_bytes);
  w.Raw({reinterpret_cast<const uint8_t*>(config.c_str()), config_bytes});
}

void AppendStreamHead(const xen::DomainState& state, Bytes& out) {
  AppendBig(kLibxlIdent, 8, out);
  AppendBig(kLibxlVersion, 4, out);
  AppendBig(0, 4, out);
  AppendEmpty(kLibxlLibxcContext, out);

  AppendBig(~uint64_t{0}, 8, out);
  AppendBig(kLibxcIdent, 4, out);
  AppendBig(kLibxcVersion, 4, out);
  AppendBig(0, 8, out);
  ByteWriter w(out);
  w.U32(kDomainX86Hvm);
  w.U16(kPageShift);
  w.U16(0);
  w.U32(state.xen_major);
  w.U32(state.xen_minor);
  AppendRecord(kLibxcCpuidPolicy, state.cpuid_policy, out);
  AppendRecord(kLibxcMsrPolicy, state.msr_policy, out);
  AppendEmpty(kLibxcStaticDataEnd, out);
}

void AppendPageDataHead(std::span<const uint64_t> frames, Bytes& out) {
  HAVEN_ASSERT(!frames.empty() && frames.size() <= kMaxPagesPerRecord);
  ByteWriter w(out);
  w.U32(kLibxcPageData);
  w.U32(static_cast<uint32_t>(8 + frames.size() * (8 + kPageBytes)));
  w.U32(static_cast<uint32_t>(frames.size()));
  w.U32(0);
  // The type in the upper bits is 0, an ordinary page.
  for (uint64_t frame : frames) w.U64(frame);
}

void AppendCheckpoint(const xen::DomainState& state, Bytes& out) {
  AppendCpuState(state, out);
  AppendEmpty(kLibxcCheckpoint, out);
  AppendEmulator(state.device_model, out);
  AppendEmpty(kLibxlCheckpointEnd, out);
}

void AppendStreamEnd(Bytes& out) { AppendEmpty(kLibxcEnd, out); }

void AppendPlainEnd(const xen::DomainState& state, Bytes& out) {
  AppendCpuState(state, out);
  AppendEmpty(kLibxcEnd, out);
  AppendEmulator(state.device_model, out);
  AppendEmpty(kLibxlEnd, out);
}

}  // namespace haven::havend
