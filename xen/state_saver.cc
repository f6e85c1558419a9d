// SPDX-License-Identifier: GPL-2.0-or-later
#include "xen/state_saver.h"

namespace haven::xen {

Result<std::unique_ptr<StateSaver>> StateSaver::Create(Hypervisor& hypervisor) {
  auto saver = std::unique_ptr<StateSaver>(new StateSaver(hypervisor));
  DomainState& state = saver->state_;
  HAVEN_RETURN_IF_ERROR(hypervisor.GetVersion(state.xen_major, state.xen_minor));
  HAVEN_RETURN_IF_ERROR(hypervisor.GetCpuPolicy(state.cpuid_policy, state.msr_policy));
  state.config = hypervisor.GetConfig();
  if (state.config.empty()) {
    return Status(StatusCode::kRefused,
                  "libxl keeps no configuration of this domain, so that the backup could not start it; create "
                  "the domain with xl");
  }
  return saver;
}

Status StateSaver::ReadParams() {
  state_.hvm_params.clear();
  for (uint32_t index : SavedHvmParams()) {
    auto value = hypervisor_.GetHvmParam(index);
    if (!value.ok()) return value.status();
    if (value.value() != 0) state_.hvm_params.push_back({index, value.value()});
  }
  return Status::Ok();
}

Status StateSaver::Save(const GuestMemory& memory, ByteSpan device_model, Bytes& out) {
  auto tsc = hypervisor_.GetTscInfo();
  if (!tsc.ok()) return tsc.status();
  state_.tsc = tsc.value();
  HAVEN_RETURN_IF_ERROR(hypervisor_.GetHvmContext(state_.hvm_context));
  HAVEN_RETURN_IF_ERROR(ReadParams());
  if (generation_ != memory.generation()) {
    state_.populated = RunsOf(memory.populated());
    generation_ = memory.generation();
  }
  state_.device_model.assign(device_model.begin(), device_model.end());
  Encode(state_, out);
  return Status::Ok();
}

}  // namespace haven::xen
