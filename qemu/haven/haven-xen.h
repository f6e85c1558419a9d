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

typedef struct HavenDomain HavenDomain;

/* Maps the domain's memory, which is one region. */
HavenDomain *haven_domain_new(struct haven_region *region, Error **errp);
void haven_domain_free(HavenDomain *domain);

/* Turning it on counts every page as written.  False: it was reported. */
bool haven_domain_log(HavenDomain *domain, bool on);
int haven_domain_harvest(HavenDomain *domain, uint64_t *bitmap, size_t words);

/*
 * Pauses the domain at a point where no vCPU waits for us: a reply that it
 * has not taken yet would be lost on the backup.
 * Returns 0, -EAGAIN if the guest had requests in flight all the time.
 */
int haven_domain_pause(HavenDomain *domain);
void haven_domain_unpause(HavenDomain *domain);
/* The domain must not run here any more. */
void haven_domain_halt(HavenDomain *domain);

int haven_domain_save(HavenDomain *domain, const void *device_model,
                      size_t bytes, haven_buffer *out);

/* False, with the reason: the guest's data does not all pass this process. */
bool haven_domain_check(Error **errp);
/* A PV disk that no frontend uses: the guest has it as an emulated one. */
bool haven_domain_disk_is_idle(DeviceState *dev);

#endif
