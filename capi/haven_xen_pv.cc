// SPDX-License-Identifier: GPL-2.0-or-later
#include "capi/haven_xen_pv.h"

#include <exception>
#include <memory>
#include <vector>

#include "capi/report.h"
#include "config.h"
#include "core/status.h"

using haven::Result;
using haven::Status;
using haven::capi::Report;

#ifdef HAVE_XEN

#include "xen/frontends.h"
#include "xen/libxc_hypervisor.h"
#include "xen/pv_suspend.h"
#include "xen/vif_plugs.h"

namespace xen = haven::xen;

struct haven_suspend {
  explicit haven_suspend(std::unique_ptr<xen::PvDomain> d) : domain(std::move(d)), suspend(*domain) {}
  const std::unique_ptr<xen::PvDomain> domain;
  xen::PvSuspend suspend;
};

struct haven_plugs {
  std::unique_ptr<xen::TrafficControl> control;
  std::unique_ptr<xen::VifPlugs> plugs;  ///< uses the control
};

struct haven_frontends {
  haven_frontends(std::unique_ptr<xen::XenStore> s, uint32_t domid) : store(std::move(s)), frontends(*store, domid) {}
  const std::unique_ptr<xen::XenStore> store;
  xen::Frontends frontends;
};

static_assert(HAVEN_SUSPEND_NO_DRIVERS == static_cast<int>(xen::PvSuspend::Answer::kNoDrivers));
static_assert(HAVEN_SUSPEND_ASKED == static_cast<int>(xen::PvSuspend::Answer::kAsked));
static_assert(HAVEN_SUSPEND_PAUSED == static_cast<int>(xen::PvSuspend::Answer::kPaused));
static_assert(HAVEN_SUSPEND_BUSY == static_cast<int>(xen::PvSuspend::Answer::kBusy));
static_assert(HAVEN_COVERED_REPLICATED == static_cast<int>(xen::Coverage::Kind::kReplicated));
static_assert(HAVEN_COVERED_HELD == static_cast<int>(xen::Coverage::Kind::kHeld));
static_assert(HAVEN_COVERED_SAVED == static_cast<int>(xen::Coverage::Kind::kSaved));
static_assert(HAVEN_COVERED_NOT_HELD == static_cast<int>(xen::Coverage::Kind::kNotHeld));
static_assert(HAVEN_COVERED_REFUSED == static_cast<int>(xen::Coverage::Kind::kRefused));

namespace {

int Truth(const Result<bool>& result, haven_error* error) {
  return result.ok() ? result.value() : Report(result.status(), error);
}

bool DomainExists(uint32_t domid) { return xen::OpenLibxc(domid).ok(); }

Status Open(uint32_t domid, const std::vector<xen::Vif>& vifs, haven_plugs& p) {
  auto control = xen::OpenNetlink();
  if (!control.ok()) return control.status();
  p.control = std::move(control.value());
  auto plugs = xen::VifPlugs::Create(*p.control, domid, vifs, DomainExists);
  if (!plugs.ok()) return plugs.status();
  p.plugs = std::move(plugs.value());
  return Status::Ok();
}

}  // namespace

haven_suspend* haven_suspend_open(uint32_t domid, haven_error* error) {
  auto domain = xen::OpenPvDomain(domid);
  if (domain.ok()) return new haven_suspend(std::move(domain.value()));
  Report(domain.status(), error);
  return nullptr;
}

int haven_suspend_fd(haven_suspend* s) { return s->domain->event_fd(); }
int haven_suspend_begin(haven_suspend* s, haven_error* error) { return Report(s->suspend.Begin(), error); }

int haven_suspend_ask(haven_suspend* s, haven_error* error) {
  auto answer = s->suspend.Ask();
  return answer.ok() ? static_cast<int>(answer.value()) : Report(answer.status(), error);
}

int haven_suspend_arrived(haven_suspend* s, haven_error* error) { return Truth(s->suspend.Arrived(), error); }
int haven_suspend_resume(haven_suspend* s, haven_error* error) { return Report(s->suspend.Resume(), error); }
int haven_suspend_withdraw(haven_suspend* s, haven_error* error) { return Truth(s->suspend.Withdraw(), error); }
void haven_suspend_forget(haven_suspend* s) { s->suspend.Forget(); }

haven_plugs* haven_plugs_open(uint32_t domid, const haven_vif* vifs, size_t count, haven_error* error) try {
  std::vector<xen::Vif> list;
  for (size_t i = 0; i < count; i++) list.push_back({vifs[i].device, vifs[i].number});
  auto p = std::make_unique<haven_plugs>();
  return Report(Open(domid, list, *p), error) == 0 ? p.release() : nullptr;
} catch (const std::exception& e) {
  Report(Status(haven::StatusCode::kEnvironment, e.what()), error);
  return nullptr;
}

void haven_plugs_close(haven_plugs* p) { delete p; }
int haven_plugs_cut(haven_plugs* p, haven_error* error) { return Report(p->plugs->Cut(), error); }
void haven_plugs_release(haven_plugs* p) { p->plugs->Release(); }
int haven_plugs_release_all(haven_plugs* p, haven_error* error) { return Report(p->plugs->ReleaseAll(), error); }
int haven_plugs_drop(haven_plugs* p, haven_error* error) { return Report(p->plugs->Drop(), error); }
int haven_plugs_cover(haven_plugs* p, const char* device) { return p->plugs->Covers(device); }
size_t haven_plugs_count(haven_plugs* p) { return p->plugs->count(); }

haven_frontends* haven_frontends_open(uint32_t domid, haven_error* error) {
  auto store = xen::OpenXenStore();
  if (store.ok()) return new haven_frontends(std::move(store.value()), domid);
  Report(store.status(), error);
  return nullptr;
}

void haven_frontends_close(haven_frontends* f) { delete f; }
int haven_frontends_check(haven_frontends* f, haven_error* error) { return Report(f->frontends.Check(), error); }
int haven_frontends_begin(haven_frontends* f, haven_error* error) { return Report(f->frontends.Begin(), error); }
int haven_frontends_fd(haven_frontends* f) { return f->store->fd(); }
int haven_frontends_covered(haven_frontends* f, haven_error* error) { return Report(f->frontends.Covered(), error); }

int haven_frontends_list(haven_frontends* f,
                         void (*each)(void* opaque, const char* title, const char* type, haven_coverage coverage,
                                      const char* why),
                         void* opaque, haven_error* error) {
  auto found = f->frontends.Find();
  if (!found.ok()) return Report(found.status(), error);
  for (const xen::Frontend& frontend : found.value()) {
    const xen::Coverage c = xen::CoverageOf(frontend);
    const std::string why = c.instead.empty() ? c.why : "it " + c.why + "; " + c.instead;
    each(opaque, frontend.Title().c_str(), frontend.type.c_str(), static_cast<haven_coverage>(c.kind), why.c_str());
  }
  return 0;
}

#else

using haven::capi::NoXen;

haven_suspend* haven_suspend_open(uint32_t, haven_error* error) {
  NoXen(error);
  return nullptr;
}
int haven_suspend_fd(haven_suspend*) { return -1; }
int haven_suspend_begin(haven_suspend*, haven_error* error) { return NoXen(error); }
int haven_suspend_ask(haven_suspend*, haven_error* error) { return NoXen(error); }
int haven_suspend_arrived(haven_suspend*, haven_error* error) { return NoXen(error); }
int haven_suspend_resume(haven_suspend*, haven_error* error) { return NoXen(error); }
int haven_suspend_withdraw(haven_suspend*, haven_error* error) { return NoXen(error); }
void haven_suspend_forget(haven_suspend*) {}
haven_plugs* haven_plugs_open(uint32_t, const haven_vif*, size_t, haven_error* error) {
  NoXen(error);
  return nullptr;
}
void haven_plugs_close(haven_plugs*) {}
int haven_plugs_cut(haven_plugs*, haven_error* error) { return NoXen(error); }
void haven_plugs_release(haven_plugs*) {}
int haven_plugs_release_all(haven_plugs*, haven_error* error) { return NoXen(error); }
int haven_plugs_drop(haven_plugs*, haven_error* error) { return NoXen(error); }
int haven_plugs_cover(haven_plugs*, const char*) { return 0; }
size_t haven_plugs_count(haven_plugs*) { return 0; }
haven_frontends* haven_frontends_open(uint32_t, haven_error* error) {
  NoXen(error);
  return nullptr;
}
void haven_frontends_close(haven_frontends*) {}
int haven_frontends_check(haven_frontends*, haven_error* error) { return NoXen(error); }
int haven_frontends_begin(haven_frontends*, haven_error* error) { return NoXen(error); }
int haven_frontends_fd(haven_frontends*) { return -1; }
int haven_frontends_covered(haven_frontends*, haven_error* error) { return NoXen(error); }
int haven_frontends_list(haven_frontends*, void (*)(void*, const char*, const char*, haven_coverage, const char*),
                         void*, haven_error* error) {
  return NoXen(error);
}

#endif
