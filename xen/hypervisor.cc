// SPDX-License-Identifier: GPL-2.0-or-later
#include "xen/hypervisor.h"

namespace haven::xen {
namespace {

/// `xl unpause` takes back one pause.
constexpr int kPauses = 16;

}  // namespace

Status PauseForGood(Hypervisor& hypervisor) {
  for (int i = 0; i < kPauses; i++) HAVEN_RETURN_IF_ERROR(hypervisor.Pause());
  return Status::Ok();
}

Status TakePausesBack(Hypervisor& hypervisor) {
  // A person may have taken some back: there is no end to what is not paused.
  for (int i = 0; i < kPauses && hypervisor.Unpause().ok(); i++) {
  }
  return Status::Ok();
}

}  // namespace haven::xen
