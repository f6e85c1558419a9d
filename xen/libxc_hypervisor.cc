// SPDX-License-Identifier: GPL-2.0-or-later
#include "xen/libxc_hypervisor.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <sys/mman.h>

extern "C" {
#include <xenctrl.h>
#include <xenforeignmemory.h>
#include <xenguest.h>
}

namespace haven::xen {
namespace {

/// Where libxl keeps what it must remember of a domain.
constexpr char kLibxlFolder[] = "/var/lib/xen";

Status Failed(const char* what) { return Status::FromErrno(errno, what); }

class LibxcHypervisor : public Hypervisor {
 public:
  explicit LibxcHypervisor(uint32_t domid) : domid_(domid) {}
  ~LibxcHypervisor() override;
  Status Open();

  Result<uint64_t> GuestFrames() override;
  Result<uint64_t> AllocatedPages() override;
  Result<uint64_t> CpuNanoseconds() override;
  Status MapFrames(uint8_t* at, uint64_t first, std::span<bool> failed) override;
  Status SetLogDirty(bool on) override;
  Status ReadLogDirty(std::span<uint64_t> bitmap, uint64_t frames, bool keep) override;
  Status Pause() override;
  Status Unpause() override;
  Status GetHvmContext(Bytes& out) override;
  Result<uint64_t> GetHvmParam(uint32_t index) override;
  Result<TscInfo> GetTscInfo() override;
  Status GetCpuPolicy(Bytes& cpuid, Bytes& msr) override;
  Status GetVersion(uint32_t& major, uint32_t& minor) override;
  std::string GetConfig() override;

 private:
  Status GetInfo(xc_domaininfo_t& info);
  int Shadow(unsigned int operation) { return xc_shadow_control(xc_, domid_, operation, nullptr, 0); }

  const uint32_t domid_;
  xc_interface* xc_ = nullptr;
  xenforeignmemory_handle* foreign_ = nullptr;
  xc_hypercall_buffer_t log_{};  ///< made at its first use
  size_t log_pages_ = 0;
  uint32_t context_bytes_ = 0;  ///< room for the HVM context
};

LibxcHypervisor::~LibxcHypervisor() {
  if (log_pages_ != 0) xc__hypercall_buffer_free_pages(xc_, &log_, static_cast<int>(log_pages_));
  if (foreign_ != nullptr) xenforeignmemory_close(foreign_);
  if (xc_ != nullptr) xc_interface_close(xc_);
}

Status LibxcHypervisor::Open() {
  xc_ = xc_interface_open(nullptr, nullptr, 0);
  if (xc_ == nullptr) return Failed("cannot talk to the hypervisor");
  foreign_ = xenforeignmemory_open(nullptr, 0);
  if (foreign_ == nullptr) return Failed("cannot map memory of other domains");
  xc_domaininfo_t info;
  return GetInfo(info);
}

Status LibxcHypervisor::GetInfo(xc_domaininfo_t& info) {
  int got = xc_domain_getinfolist(xc_, domid_, 1, &info);
  if (got < 0) return Failed("cannot ask for the domain");
  if (got == 0 || info.domain != domid_) {
    return Status(StatusCode::kInvalid, "there is no domain " + std::to_string(domid_));
  }
  return Status::Ok();
}

Result<uint64_t> LibxcHypervisor::GuestFrames() {
  xen_pfn_t frames = 0;
  if (xc_domain_nr_gpfns(xc_, domid_, &frames) < 0) return Failed("cannot ask for the size of the domain's memory");
  return uint64_t{frames};
}

Result<uint64_t> LibxcHypervisor::AllocatedPages() {
  xc_domaininfo_t info;
  HAVEN_RETURN_IF_ERROR(GetInfo(info));
  return uint64_t{info.tot_pages};
}

Result<uint64_t> LibxcHypervisor::CpuNanoseconds() {
  xc_domaininfo_t info;
  HAVEN_RETURN_IF_ERROR(GetInfo(info));
  return uint64_t{info.cpu_time};
}

Status LibxcHypervisor::MapFrames(uint8_t* at, uint64_t first, std::span<bool> failed) {
  std::vector<xen_pfn_t> frames(failed.size());
  std::vector<int> errors(failed.size());
  for (size_t i = 0; i < frames.size(); i++) frames[i] = first + i;
  void* mapped =
      xenforeignmemory_map2(foreign_, domid_, at, PROT_READ, MAP_FIXED, frames.size(), frames.data(), errors.data());
  if (mapped == nullptr) {
    // All of them failing is one hole, not an error; the range is not mapped any more then.
    const int error = errno;
    void* hole = mmap(at, failed.size() * XC_PAGE_SIZE, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    if (hole == MAP_FAILED) return Failed("cannot keep the addresses of the domain's memory");
    if (error != ENOENT && error != EINVAL && error != EFAULT) {
      errno = error;
      return Failed("cannot map the domain's memory");
    }
  }
  for (size_t i = 0; i < failed.size(); i++) failed[i] = mapped == nullptr || errors[i] != 0;
  return Status::Ok();
}

Status LibxcHypervisor::SetLogDirty(bool on) {
  if (!on) {
    return Shadow(XEN_DOMCTL_SHADOW_OP_OFF) < 0 ? Failed("cannot end the record of written memory") : Status::Ok();
  }
  if (Shadow(XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY) >= 0) return Status::Ok();
  // It may be on for the video memory only.
  (void)Shadow(XEN_DOMCTL_SHADOW_OP_OFF);
  if (Shadow(XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY) >= 0) return Status::Ok();
  return Failed("cannot record which memory the domain writes");
}

Status LibxcHypervisor::ReadLogDirty(std::span<uint64_t> bitmap, uint64_t frames, bool keep) {
  const size_t pages = (bitmap.size_bytes() + XC_PAGE_SIZE - 1) / XC_PAGE_SIZE;
  if (log_pages_ == 0) {
    if (xc__hypercall_buffer_alloc_pages(xc_, &log_, static_cast<int>(pages)) == nullptr) {
      return Failed("cannot get memory for the record of written memory");
    }
    log_pages_ = pages;
  }
  if (pages != log_pages_) return Status(StatusCode::kInvalid, "the size of the domain's memory has changed");
  xc_shadow_op_stats_t stats{};
  const unsigned operation = keep ? XEN_DOMCTL_SHADOW_OP_PEEK : XEN_DOMCTL_SHADOW_OP_CLEAN;
  long long got = xc_logdirty_control(xc_, domid_, operation, &log_, frames, 0, &stats);
  if (got < 0) return Failed("cannot read which memory the domain has written");
  memcpy(bitmap.data(), log_.hbuf, bitmap.size_bytes());
  if (frames % 64 != 0) bitmap[frames / 64] &= (uint64_t{1} << frames % 64) - 1;
  return Status::Ok();
}

Status LibxcHypervisor::Pause() {
  return xc_domain_pause(xc_, domid_) < 0 ? Failed("cannot pause the domain") : Status::Ok();
}

Status LibxcHypervisor::Unpause() {
  return xc_domain_unpause(xc_, domid_) < 0 ? Failed("cannot unpause the domain") : Status::Ok();
}

Status LibxcHypervisor::GetHvmContext(Bytes& out) {
  // Its size does not change while the domain lives: ask once.
  if (context_bytes_ == 0) {
    const int size = xc_domain_hvm_getcontext(xc_, domid_, nullptr, 0);
    if (size <= 0) return Failed("cannot ask for the state of the domain's processors");
    context_bytes_ = static_cast<uint32_t>(size);
  }
  out.resize(context_bytes_);
  const int size = xc_domain_hvm_getcontext(xc_, domid_, out.data(), context_bytes_);
  if (size <= 0) return Failed("cannot read the state of the domain's processors");
  out.resize(static_cast<size_t>(size));
  return Status::Ok();
}

Result<uint64_t> LibxcHypervisor::GetHvmParam(uint32_t index) {
  uint64_t value = 0;
  if (xc_hvm_param_get(xc_, domid_, index, &value) < 0) return Failed("cannot read a parameter of the domain");
  return value;
}

Result<TscInfo> LibxcHypervisor::GetTscInfo() {
  TscInfo tsc;
  if (xc_domain_get_tsc_info(xc_, domid_, &tsc.mode, &tsc.nsec, &tsc.khz, &tsc.incarnation) < 0) {
    return Failed("cannot read the domain's time-stamp counter");
  }
  return tsc;
}

Status LibxcHypervisor::GetCpuPolicy(Bytes& cpuid, Bytes& msr) {
  static_assert(sizeof(xen_cpuid_leaf_t) == kCpuidLeafBytes && sizeof(xen_msr_entry_t) == kMsrEntryBytes);
  uint32_t leaves = 0, entries = 0;
  if (xc_cpu_policy_get_size(xc_, &leaves, &entries) < 0) return Failed("cannot ask for the CPU policy's size");
  cpuid.resize(size_t{leaves} * sizeof(xen_cpuid_leaf_t));
  msr.resize(size_t{entries} * sizeof(xen_msr_entry_t));
  xc_cpu_policy_t* policy = xc_cpu_policy_init();
  if (policy == nullptr) return Failed("cannot get memory for the CPU policy");
  bool ok = xc_cpu_policy_get_domain(xc_, domid_, policy) == 0 &&
            xc_cpu_policy_serialise(xc_, policy, reinterpret_cast<xen_cpuid_leaf_t*>(cpuid.data()), &leaves,
                                    reinterpret_cast<xen_msr_entry_t*>(msr.data()), &entries) == 0;
  Status status = ok ? Status::Ok() : Failed("cannot read the domain's CPU policy");
  xc_cpu_policy_destroy(policy);
  cpuid.resize(size_t{leaves} * sizeof(xen_cpuid_leaf_t));
  msr.resize(size_t{entries} * sizeof(xen_msr_entry_t));
  return status;
}

Status LibxcHypervisor::GetVersion(uint32_t& major, uint32_t& minor) {
  int version = xc_version(xc_, XENVER_version, nullptr);
  if (version < 0) return Failed("cannot ask for the hypervisor's version");
  major = static_cast<uint32_t>(version) >> 16;
  minor = static_cast<uint32_t>(version) & 0xffff;
  return Status::Ok();
}

std::string LibxcHypervisor::GetConfig() {
  xc_domaininfo_t info;
  if (!GetInfo(info).ok()) return "";
  const uint8_t* u = info.handle;
  char uuid[40];
  snprintf(uuid, sizeof(uuid), "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2],
           u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
  std::ifstream in(std::string(kLibxlFolder) + "/userdata-d." + std::to_string(domid_) + "." + uuid + ".libxl-json");
  std::stringstream text;
  text << in.rdbuf();
  std::string config = text.str();
  while (!config.empty() && config.back() == '\0') config.pop_back();
  return config;
}

}  // namespace

Result<std::unique_ptr<Hypervisor>> OpenLibxc(uint32_t domid) {
  auto hypervisor = std::make_unique<LibxcHypervisor>(domid);
  HAVEN_RETURN_IF_ERROR(hypervisor->Open());
  return std::unique_ptr<Hypervisor>(std::move(hypervisor));
}

}  // namespace haven::xen
