/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest under accel=xen: its memory is the domain's, its vCPUs are the
 * hypervisor's.  Main thread, BQL held.  Without Xen in the build every
 * function fails; none is called unless xen_enabled().
 */
#ifndef HAVEN_XEN_INT_H
#define HAVEN_XEN_INT_H

#include <haven.h>

#include "hw/qdev-core.h"
#include "qapi/qapi-types-haven.h"
#include "qemu/main-loop.h"

typedef struct HavenDomain HavenDomain;
struct HavenGuest;
struct haven_plugs;

/* False while xl is still creating the domain: it cannot be protected yet. */
bool haven_domain_created(void);
/* The domain does not run while it is held, whatever xl does.  Needs nothing mapped. */
void haven_domain_hold(bool hold);
/* Maps the domain's memory, which is one region. */
HavenDomain *haven_domain_new(struct haven_region *region, Error **errp);
void haven_domain_free(HavenDomain *domain);

/* Turning it on counts every page as written.  False: it was reported. */
bool haven_domain_log(HavenDomain *domain, bool on);
int haven_domain_harvest(HavenDomain *domain, uint64_t *bitmap, size_t words,
                         bool keep);

/* As haven_guest_ops.cpu_ns(). */
uint64_t haven_domain_cpu_ns(HavenDomain *domain);

/*
 * Pauses the domain at a point where no vCPU waits for us: a reply that it
 * has not taken yet would be lost on the backup.
 * Returns 0, -EAGAIN if the guest had requests in flight all the time.
 */
int haven_domain_pause(HavenDomain *domain);
/* Also lets a suspended domain go on. */
void haven_domain_unpause(HavenDomain *domain);
/* The domain must not run here any more. */
void haven_domain_halt(HavenDomain *domain);

int haven_domain_save(HavenDomain *domain, const void *device_model,
                      size_t bytes, haven_buffer *out);

/* False, with the reason: the guest's data does not all pass this process. */
bool haven_domain_check(Error **errp);
/* As that, and `changed` is run when haven_domain_covered() should be called. */
bool haven_domain_watch(IOHandler *changed, Error **errp);
void haven_domain_unwatch(void);
/* False, with the reason: the domain was given another device, or uses one that
 * is not covered.  Next to free as long as nothing has changed. */
bool haven_domain_covered(Error **errp);
/* Appends the domain's PV devices, and what becomes of them. */
void haven_domain_list(HavenDeviceList ***tail);
/* A PV disk that no frontend uses: the guest has it as an emulated one. */
bool haven_domain_disk_is_idle(DeviceState *dev);
/* The name in xl.cfg (xvda) if it is a PV disk, else NULL. */
const char *haven_domain_disk_name(DeviceState *dev);
/* False, with the reason: the guest uses a PV disk that has no filter. */
bool haven_domain_disks_covered(Error **errp);
/* A device's node in xenstore, to be freed with free(); NULL if there is none. */
char *haven_domain_read(const char *directory, const char *device,
                        const char *node);

/* --- haven-xen-suspend.c: guests with PV drivers ------------------------- */

bool haven_suspend_start(struct HavenGuest *g, uint32_t deadline_ms,
                         Error **errp);
void haven_suspend_stop(void);
/* See haven_guest_ops; opaque is the HavenGuest.  Also without Xen. */
int haven_domain_make_ready(void *opaque);
/* The domain stands still by its own suspend, until haven_domain_resume(). */
bool haven_domain_suspended(void);
void haven_domain_resume(void);

/* --- haven-xen-vif.c: NICs that netback serves --------------------------- */

/* Puts plugs over those in use. */
struct haven_plugs *haven_vifs_plug(Error **errp);
/* False, with the reason: one is in use that has no plug. */
bool haven_vifs_covered(struct haven_plugs *plugs, Error **errp);
/* See haven_guest_ops; opaque is the HavenGuest.  Also without Xen. */
int haven_vifs_cut(void *opaque);
void haven_vifs_release(void *opaque);
void haven_vifs_release_all(void *opaque);
int haven_vifs_drop(void *opaque);

#endif
