// SPDX-License-Identifier: GPL-2.0-or-later
#include "xen/domain_state.h"

#include <algorithm>
#include <bit>

namespace haven::xen {
namespace {

constexpr uint32_t kMagic = 0x53445848;  // "HXDS" on the wire
constexpr uint16_t kVersion = 1;

/// Ascending on the wire, each exactly once.
enum class Section : uint32_t {
  kXenVersion = 1,
  kCpuidPolicy = 2,
  kMsrPolicy = 3,
  kTscInfo = 4,
  kHvmContext = 5,
  kHvmParams = 6,
  kPopulated = 7,
  kConfig = 8,
  kDeviceModel = 9,
};
constexpr uint32_t kLastSection = 9;

constexpr size_t kHeadBytes = 8;
constexpr size_t kSectionHeadBytes = 8;
constexpr size_t kMaxPolicyBytes = 1u << 20;
constexpr size_t kMaxHvmContextBytes = 16u << 20;
constexpr size_t kMaxConfigBytes = 1u << 20;

Status Protocol(const std::string& why) { return {StatusCode::kProtocol, "state of a Xen guest: " + why}; }

/// Appends one section: head, then what `write` appends.
template <typename Write>
void AddSection(Bytes& out, Section type, Write write) {
  ByteWriter w(out);
  w.U32(static_cast<uint32_t>(type));
  size_t length_at = out.size();
  w.U32(0);
  write(w);
  uint32_t length = static_cast<uint32_t>(out.size() - length_at - 4);
  for (size_t i = 0; i < 4; i++) out[length_at + i] = static_cast<uint8_t>(length >> (8 * i));
}

Status DecodeBlob(ByteSpan body, const char* name, size_t unit, size_t most, Bytes& out) {
  if (body.empty() || body.size() % unit != 0 || body.size() > most) {
    return Protocol(std::string(name) + " of " + std::to_string(body.size()) + " octets");
  }
  out.assign(body.begin(), body.end());
  return Status::Ok();
}

Status DecodeParams(ByteSpan body, std::vector<HvmParam>& out) {
  ByteReader r(body);
  uint32_t count = r.U32();
  if (count > SavedHvmParams().size() || r.left() != count * 16u) return Protocol("HVM parameters have a wrong length");
  for (uint32_t i = 0; i < count; i++) {
    HvmParam param{r.U64(), r.U64()};
    if (!IsSavedHvmParam(param.index))
      return Protocol("HVM parameter " + std::to_string(param.index) + " may not be set");
    for (const HvmParam& other : out) {
      if (other.index == param.index) return Protocol("HVM parameter " + std::to_string(param.index) + " comes twice");
    }
    out.push_back(param);
  }
  return Status::Ok();
}

Status DecodeRuns(ByteSpan body, uint64_t guest_pages, std::vector<PageRun>& out) {
  if (body.empty() || body.size() % 16 != 0) return Protocol("the map of populated pages has a wrong length");
  ByteReader r(body);
  uint64_t next = 0;
  out.reserve(body.size() / 16);
  while (r.left() > 0) {
    PageRun run{r.U64(), r.U64()};
    bool ascending = out.empty() || run.first > next;
    if (run.count == 0 || !ascending || run.first >= guest_pages || run.count > guest_pages - run.first) {
      return Protocol("the map of populated pages has a bad run at frame " + std::to_string(run.first));
    }
    next = run.first + run.count;
    out.push_back(run);
  }
  return Status::Ok();
}

Status DecodeTsc(ByteSpan body, TscInfo& out) {
  ByteReader r(body);
  out = {r.U32(), r.U32(), r.U64(), r.U32()};
  return r.AtEnd() ? Status::Ok() : Protocol("TSC information has a wrong length");
}

Status DecodeVersion(ByteSpan body, DomainState& out) {
  ByteReader r(body);
  out.xen_major = r.U32();
  out.xen_minor = r.U32();
  // A major version of 0 would mark a stream that was converted from an old format.
  if (!r.AtEnd() || out.xen_major == 0 || out.xen_major > 0xffff || out.xen_minor > 0xffff) {
    return Protocol("the version of Xen is wrong");
  }
  return Status::Ok();
}

Status DecodeConfig(ByteSpan body, std::string& out) {
  if (body.size() > kMaxConfigBytes) return Protocol("the configuration is too large");
  out.assign(body.begin(), body.end());
  return out.find('\0') == std::string::npos ? Status::Ok() : Protocol("the configuration is no text");
}

Status DecodeSection(Section type, ByteSpan body, uint64_t guest_pages, DomainState& out) {
  switch (type) {
    case Section::kXenVersion: return DecodeVersion(body, out);
    case Section::kCpuidPolicy:
      return DecodeBlob(body, "CPUID policy", kCpuidLeafBytes, kMaxPolicyBytes, out.cpuid_policy);
    case Section::kMsrPolicy: return DecodeBlob(body, "MSR policy", kMsrEntryBytes, kMaxPolicyBytes, out.msr_policy);
    case Section::kTscInfo: return DecodeTsc(body, out.tsc);
    case Section::kHvmContext: return DecodeBlob(body, "HVM context", 1, kMaxHvmContextBytes, out.hvm_context);
    case Section::kHvmParams: return DecodeParams(body, out.hvm_params);
    case Section::kPopulated: return DecodeRuns(body, guest_pages, out.populated);
    case Section::kConfig: return DecodeConfig(body, out.config);
    case Section::kDeviceModel: return DecodeBlob(body, "device model state", 1, UINT32_MAX, out.device_model);
  }
  return Protocol("unknown section");
}

}  // namespace

const std::vector<uint32_t>& SavedHvmParams() {
  // HVM_PARAM_*: STORE_PFN, IOREQ_PFN, BUFIOREQ_PFN, PAGING_RING_PFN, MONITOR_RING_PFN,
  // SHARING_RING_PFN, VM86_TSS_SIZED, CONSOLE_PFN, ACPI_IOPORTS_LOCATION, VIRIDIAN, IDENT_PT,
  // VM_GENERATION_ID_ADDR, IOREQ_SERVER_PFN, NR_IOREQ_SERVER_PAGES, X87_FIP_WIDTH, MCA_CAP.
  static const std::vector<uint32_t> params = {1, 5, 6, 27, 28, 29, 37, 17, 19, 9, 12, 34, 32, 33, 36, 38};
  return params;
}

bool IsSavedHvmParam(uint64_t index) {
  const auto& known = SavedHvmParams();
  return std::find(known.begin(), known.end(), index) != known.end();
}

void Encode(const DomainState& state, Bytes& out) {
  out.reserve(out.size() + 4096 + state.device_model.size() + state.hvm_context.size() + state.cpuid_policy.size() +
              state.msr_policy.size() + state.populated.size() * 16 + state.config.size());
  ByteWriter head(out);
  head.U32(kMagic);
  head.U16(kVersion);
  head.U16(0);
  AddSection(out, Section::kXenVersion, [&](ByteWriter& w) {
    w.U32(state.xen_major);
    w.U32(state.xen_minor);
  });
  AddSection(out, Section::kCpuidPolicy, [&](ByteWriter& w) { w.Raw(state.cpuid_policy); });
  AddSection(out, Section::kMsrPolicy, [&](ByteWriter& w) { w.Raw(state.msr_policy); });
  AddSection(out, Section::kTscInfo, [&](ByteWriter& w) {
    w.U32(state.tsc.mode);
    w.U32(state.tsc.khz);
    w.U64(state.tsc.nsec);
    w.U32(state.tsc.incarnation);
  });
  AddSection(out, Section::kHvmContext, [&](ByteWriter& w) { w.Raw(state.hvm_context); });
  AddSection(out, Section::kHvmParams, [&](ByteWriter& w) {
    w.U32(static_cast<uint32_t>(state.hvm_params.size()));
    for (const HvmParam& param : state.hvm_params) {
      w.U64(param.index);
      w.U64(param.value);
    }
  });
  AddSection(out, Section::kPopulated, [&](ByteWriter& w) {
    for (const PageRun& run : state.populated) {
      w.U64(run.first);
      w.U64(run.count);
    }
  });
  AddSection(out, Section::kConfig, [&](ByteWriter& w) {
    w.Raw({reinterpret_cast<const uint8_t*>(state.config.data()), state.config.size()});
  });
  AddSection(out, Section::kDeviceModel, [&](ByteWriter& w) { w.Raw(state.device_model); });
}

Result<DomainState> DecodeDomainState(ByteSpan in, uint64_t guest_pages) {
  ByteReader r(in);
  if (in.size() < kHeadBytes || r.U32() != kMagic) return Protocol("this is none (is the primary under Xen?)");
  uint16_t version = r.U16();
  if (version != kVersion || r.U16() != 0) return Protocol("version " + std::to_string(version) + " is not known");
  DomainState state;
  for (uint32_t want = 1; want <= kLastSection; want++) {
    if (r.left() < kSectionHeadBytes) return Protocol("section " + std::to_string(want) + " is missing");
    uint32_t type = r.U32();
    uint32_t length = r.U32();
    if (type != want) return Protocol("section " + std::to_string(type) + " in the place of " + std::to_string(want));
    if (length > r.left()) return Protocol("section " + std::to_string(type) + " is cut off");
    HAVEN_RETURN_IF_ERROR(DecodeSection(static_cast<Section>(type), r.Raw(length), guest_pages, state));
  }
  if (!r.AtEnd()) return Protocol("octets are left over");
  return state;
}

std::vector<PageRun> RunsOf(const std::vector<uint64_t>& bitmap) {
  std::vector<PageRun> runs;
  uint64_t page = 0;
  const uint64_t pages = bitmap.size() * 64;
  while (page < pages) {
    uint64_t word = bitmap[page / 64] >> page % 64;
    if (word == 0) {
      page = (page / 64 + 1) * 64;
      continue;
    }
    page += static_cast<uint64_t>(std::countr_zero(word));
    uint64_t first = page;
    while (page < pages && (bitmap[page / 64] >> page % 64 & 1) != 0) {
      bool whole_word = page % 64 == 0 && bitmap[page / 64] == ~uint64_t{0};
      page += whole_word ? 64 : 1;
    }
    runs.push_back({first, page - first});
  }
  return runs;
}

}  // namespace haven::xen
