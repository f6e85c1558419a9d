// SPDX-License-Identifier: GPL-2.0-or-later
#include "xen/pv_domain.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <poll.h>
#include <string>

extern "C" {
#include <xenctrl.h>
#include <xenevtchn.h>
#include <xenguest.h>
#include <xenstore.h>
#include <xen/hvm/params.h>
}

namespace haven::xen {
namespace {

constexpr char kSuspend[] = "suspend";

Status Failed(const char* what) { return Status::FromErrno(errno, what); }

class LibxcPvDomain : public PvDomain {
 public:
  explicit LibxcPvDomain(uint32_t domid)
      : domid_(domid), path_("/local/domain/" + std::to_string(domid) + "/control/shutdown") {}
  ~LibxcPvDomain() override;
  Status Open();

  Result<bool> HasPvDrivers() override;
  Result<State> GetState() override;
  Status Subscribe(bool on) override;
  int event_fd() const override { return xenevtchn_fd(events_); }
  void TakeEvent() override;
  Result<bool> WriteRequest() override { return Replace("", kSuspend); }
  Result<bool> WithdrawRequest() override { return Replace(kSuspend, ""); }
  Status Resume() override;

 private:
  /// Writes `to` into control/shutdown if it holds `from`, else nothing.
  Result<bool> Replace(const char* from, const char* to);
  Status BindPort();

  const uint32_t domid_;
  const std::string path_;
  xc_interface* xc_ = nullptr;
  xs_handle* store_ = nullptr;
  xenevtchn_handle* events_ = nullptr;
  int port_ = 0;  ///< the domain's end of our event channel; 0: none yet
};

LibxcPvDomain::~LibxcPvDomain() {
  if (events_ != nullptr) xenevtchn_close(events_);
  if (store_ != nullptr) xs_close(store_);
  if (xc_ != nullptr) xc_interface_close(xc_);
}

Status LibxcPvDomain::Open() {
  xc_ = xc_interface_open(nullptr, nullptr, 0);
  if (xc_ == nullptr) return Failed("cannot talk to the hypervisor");
  store_ = xs_open(0);
  if (store_ == nullptr) return Failed("cannot talk to xenstore");
  events_ = xenevtchn_open(nullptr, 0);
  if (events_ == nullptr) return Failed("cannot open event channels");
  return Status::Ok();
}

Result<bool> LibxcPvDomain::HasPvDrivers() {
  uint64_t callback = 0, sleep = 0;
  if (xc_hvm_param_get(xc_, domid_, HVM_PARAM_CALLBACK_IRQ, &callback) < 0 ||
      xc_hvm_param_get(xc_, domid_, HVM_PARAM_ACPI_S_STATE, &sleep) < 0) {
    return Failed("cannot ask whether the domain has PV drivers");
  }
  return callback != 0 && sleep == 0;
}

Result<PvDomain::State> LibxcPvDomain::GetState() {
  xc_domaininfo_t info;
  int got = xc_domain_getinfolist(xc_, domid_, 1, &info);
  if (got < 0) return Failed("cannot ask for the domain");
  State state;
  if (got == 0 || info.domain != domid_ || (info.flags & XEN_DOMINF_dying) != 0) {
    state.run = Run::kEnded;
    return state;
  }
  state.pages = info.tot_pages;
  if ((info.flags & XEN_DOMINF_shutdown) != 0) {
    const uint32_t reason = info.flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask;
    state.run = reason == SHUTDOWN_suspend ? Run::kSuspended : Run::kEnded;
  } else if ((info.flags & XEN_DOMINF_paused) != 0) {
    state.run = Run::kPaused;
  }
  return state;
}

/// The port is the domain's, which knows nothing of it: Xen itself sends on it.
Status LibxcPvDomain::BindPort() {
  if (port_ != 0) return Status::Ok();
  int port = xc_evtchn_alloc_unbound(xc_, domid_, 0);
  if (port < 0) return Failed("cannot make an event channel of the domain");
  if (xenevtchn_bind_interdomain(events_, domid_, static_cast<evtchn_port_t>(port)) < 0) {
    return Failed("cannot bind the event channel of the domain");
  }
  port_ = port;
  return Status::Ok();
}

Status LibxcPvDomain::Subscribe(bool on) {
  if (on) HAVEN_RETURN_IF_ERROR(BindPort());
  if (xc_domain_subscribe_for_suspend(xc_, domid_, on ? static_cast<evtchn_port_t>(port_) : 0) < 0) {
    return Failed("cannot subscribe to the domain's suspend");
  }
  return Status::Ok();
}

void LibxcPvDomain::TakeEvent() {
  pollfd ready{event_fd(), POLLIN, 0};
  while (poll(&ready, 1, 0) == 1 && (ready.revents & POLLIN) != 0) {
    xenevtchn_port_or_error_t port = xenevtchn_pending(events_);
    if (port < 0 || xenevtchn_unmask(events_, static_cast<evtchn_port_t>(port)) < 0) return;
  }
}

Result<bool> LibxcPvDomain::Replace(const char* from, const char* to) {
  while (true) {
    xs_transaction_t transaction = xs_transaction_start(store_);
    if (transaction == XBT_NULL) return Failed("cannot begin a transaction of xenstore");
    unsigned int length = 0;
    char* text = static_cast<char*>(xs_read(store_, transaction, path_.c_str(), &length));
    const bool found = text == nullptr ? errno == ENOENT && *from == '\0' : strcmp(text, from) == 0;
    free(text);
    if (!found) {
      xs_transaction_end(store_, transaction, true);
      return false;
    }
    if (!xs_write(store_, transaction, path_.c_str(), to, static_cast<unsigned int>(strlen(to)))) {
      Status failed = Failed("cannot write the domain's control/shutdown");
      xs_transaction_end(store_, transaction, true);
      return failed;
    }
    if (xs_transaction_end(store_, transaction, false)) return true;
    if (errno != EAGAIN) return Failed("cannot write the domain's control/shutdown");
  }
}

Status LibxcPvDomain::Resume() {
  return xc_domain_resume(xc_, domid_, 1) < 0 ? Failed("cannot let the suspended domain go on") : Status::Ok();
}

}  // namespace

Result<std::unique_ptr<PvDomain>> OpenPvDomain(uint32_t domid) {
  auto domain = std::make_unique<LibxcPvDomain>(domid);
  HAVEN_RETURN_IF_ERROR(domain->Open());
  return std::unique_ptr<PvDomain>(std::move(domain));
}

}  // namespace haven::xen
