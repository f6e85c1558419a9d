// SPDX-License-Identifier: GPL-2.0-or-later
#include "capi/haven_xen.h"

#include <exception>
#include <memory>
#include <vector>

#include "capi/report.h"
#include "config.h"
#include "core/epoch.h"
#include "core/status.h"

using haven::Status;
using haven::capi::Report;

#ifdef HAVE_XEN

#include "xen/domain_guard.h"
#include "xen/libxc_hypervisor.h"
#include "xen/state_saver.h"

namespace xen = haven::xen;

struct haven_xen {
  std::unique_ptr<xen::Hypervisor> hypervisor;
  std::unique_ptr<xen::GuestMemory> memory;
  std::unique_ptr<xen::StateSaver> saver;
  std::unique_ptr<xen::DomainGuard> guard;
  haven::Bytes state;
};

namespace {

Status Open(uint32_t domid, const std::vector<xen::PageRun>& likely, haven_xen& x) {
  auto hypervisor = xen::OpenLibxc(domid);
  if (!hypervisor.ok()) return hypervisor.status();
  x.hypervisor = std::move(hypervisor.value());
  auto saver = xen::StateSaver::Create(*x.hypervisor);
  if (!saver.ok()) return saver.status();
  x.saver = std::move(saver.value());
  auto memory = xen::GuestMemory::Map(*x.hypervisor, likely);
  if (!memory.ok()) return memory.status();
  x.memory = std::move(memory.value());
  auto guard = xen::DomainGuard::Start(HAVEN_DOMAIN_GUARD, domid);
  if (!guard.ok()) return guard.status();
  x.guard = std::move(guard.value());
  return Status::Ok();
}

}  // namespace

int haven_xen_created(uint32_t domid) try {
  auto hypervisor = xen::OpenLibxc(domid);
  return hypervisor.ok() && !hypervisor.value()->GetConfig().empty();
} catch (const std::exception&) {
  return 0;
}

int haven_xen_hold(uint32_t domid, int hold, haven_error* error) try {
  auto hypervisor = xen::OpenLibxc(domid);
  if (!hypervisor.ok()) return Report(hypervisor.status(), error);
  return Report(hold ? xen::PauseForGood(*hypervisor.value()) : xen::TakePausesBack(*hypervisor.value()), error);
} catch (const std::exception& e) {
  return Report(Status(haven::StatusCode::kEnvironment, e.what()), error);
}

haven_xen* haven_xen_open(uint32_t domid, const haven_xen_frames* likely, size_t count, haven_error* error) try {
  std::vector<xen::PageRun> runs;
  for (size_t i = 0; i < count; i++) runs.push_back({likely[i].first, likely[i].count});
  auto x = std::make_unique<haven_xen>();
  return Report(Open(domid, runs, *x), error) == 0 ? x.release() : nullptr;
} catch (const std::exception& e) {
  Report(Status(haven::StatusCode::kEnvironment, e.what()), error);
  return nullptr;
}

void haven_xen_close(haven_xen* x) {
  if (x == nullptr) return;
  x->memory.reset();  // it uses the hypervisor
  delete x;
}

void haven_xen_region(haven_xen* x, haven_region* region) {
  *region = {xen::kPhysmapRegion, x->memory->host(), x->memory->frames() * haven::kPageBytes};
}

int haven_xen_set_dirty_log(haven_xen* x, int on, haven_error* error) {
  return Report(x->memory->SetLog(on != 0), error);
}

int haven_xen_harvest_dirty(haven_xen* x, uint64_t* bitmap, size_t words, int keep, haven_error* error) {
  return Report(x->memory->Harvest({bitmap, words}, keep != 0), error);
}

uint64_t haven_xen_cpu_ns(haven_xen* x) {
  const auto used = x->hypervisor->CpuNanoseconds();
  return used.ok() ? used.value() : 0;
}

int haven_xen_pause(haven_xen* x, haven_error* error) { return Report(x->hypervisor->Pause(), error); }

int haven_xen_pause_for_good(haven_xen* x, haven_error* error) {
  return Report(xen::PauseForGood(*x->hypervisor), error);
}

int haven_xen_unpause(haven_xen* x, haven_error* error) { return Report(x->hypervisor->Unpause(), error); }

int haven_xen_save_state(haven_xen* x, const void* device_model, size_t bytes, haven_buffer* out, haven_error* error) {
  x->state.clear();
  Status saved = x->saver->Save(*x->memory, {static_cast<const uint8_t*>(device_model), bytes}, x->state);
  if (saved.ok()) haven_buffer_append(out, x->state.data(), x->state.size());
  return Report(saved, error);
}

void haven_xen_moved(haven_xen* x, const haven_xen_frames* frames) { x->memory->Moved(frames->first, frames->count); }

#else

using haven::capi::NoXen;

int haven_xen_created(uint32_t) { return 0; }
int haven_xen_hold(uint32_t, int, haven_error* error) { return NoXen(error); }
haven_xen* haven_xen_open(uint32_t, const haven_xen_frames*, size_t, haven_error* error) {
  NoXen(error);
  return nullptr;
}
void haven_xen_close(haven_xen*) {}
void haven_xen_region(haven_xen*, haven_region* region) { *region = {}; }
int haven_xen_set_dirty_log(haven_xen*, int, haven_error* error) { return NoXen(error); }
int haven_xen_harvest_dirty(haven_xen*, uint64_t*, size_t, int, haven_error* error) { return NoXen(error); }
uint64_t haven_xen_cpu_ns(haven_xen*) { return 0; }
int haven_xen_pause(haven_xen*, haven_error* error) { return NoXen(error); }
int haven_xen_pause_for_good(haven_xen*, haven_error* error) { return NoXen(error); }
int haven_xen_unpause(haven_xen*, haven_error* error) { return NoXen(error); }
int haven_xen_save_state(haven_xen*, const void*, size_t, haven_buffer*, haven_error* error) { return NoXen(error); }
void haven_xen_moved(haven_xen*, const haven_xen_frames*) {}

#endif
