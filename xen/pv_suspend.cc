// SPDX-License-Identifier: GPL-2.0-or-later
#include "xen/pv_suspend.h"

#include <string>

namespace haven::xen {

Status PvSuspend::Begin() {
  auto state = domain_.GetState();
  if (!state.ok()) return state.status();
  pages_ = state.value().pages;
  return Status::Ok();
}

Result<PvSuspend::Answer> PvSuspend::Ask() {
  auto drivers = domain_.HasPvDrivers();
  if (!drivers.ok()) return drivers.status();
  if (!drivers.value()) return Answer::kNoDrivers;
  auto state = domain_.GetState();
  if (!state.ok()) return state.status();
  switch (state.value().run) {
    case PvDomain::Run::kRuns: break;
    case PvDomain::Run::kPaused: return Answer::kPaused;
    case PvDomain::Run::kSuspended:  // if it is ours, Arrived() tells
    case PvDomain::Run::kEnded: return Answer::kBusy;
  }
  if (state.value().pages != pages_) {
    return Status(StatusCode::kRefused, "the guest's memory has become " + std::to_string(state.value().pages) +
                                            " pages instead of " + std::to_string(pages_) +
                                            " (by its balloon driver); protect it again");
  }
  // Before the request: the domain may be quick.
  HAVEN_RETURN_IF_ERROR(domain_.Subscribe(true));
  auto written = domain_.WriteRequest();
  if (!written.ok() || !written.value()) {
    if (!asked_) HAVEN_RETURN_IF_ERROR(domain_.Subscribe(false));
    if (!written.ok()) return written.status();
    return asked_ ? Answer::kAsked : Answer::kBusy;
  }
  asked_twice_ = asked_;
  asked_ = true;
  return Answer::kAsked;
}

Result<bool> PvSuspend::Arrived() {
  domain_.TakeEvent();
  if (!asked_) return false;
  auto state = domain_.GetState();
  if (!state.ok()) return state.status();
  if (state.value().run != PvDomain::Run::kSuspended) return false;
  // It stands still, and cannot take the second request while that is taken back.
  if (asked_twice_) {
    auto withdrawn = domain_.WithdrawRequest();
    if (!withdrawn.ok()) return withdrawn.status();
  }
  Forget();
  return true;
}

Result<bool> PvSuspend::Withdraw() {
  if (!asked_) return true;
  auto withdrawn = domain_.WithdrawRequest();
  if (!withdrawn.ok()) return withdrawn.status();
  // An earlier request may be with the domain although the last one is not.
  if (!withdrawn.value() || asked_twice_) return false;
  Forget();
  return true;
}

void PvSuspend::Forget() {
  if (asked_) (void)domain_.Subscribe(false);
  asked_ = false;
  asked_twice_ = false;
}

}  // namespace haven::xen
