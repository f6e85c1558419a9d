/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A device model without Xen: none of these is called. */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "haven-xen.h"

bool haven_domain_created(void)
{
    g_assert_not_reached();
}

void haven_domain_hold(bool hold)
{
    g_assert_not_reached();
}

HavenDomain *haven_domain_new(struct haven_region *region, Error **errp)
{
    error_setg(errp, "haven: this device model was built without Xen");
    return NULL;
}

void haven_domain_free(HavenDomain *domain)
{
    g_assert_not_reached();
}

bool haven_domain_log(HavenDomain *domain, bool on)
{
    g_assert_not_reached();
}

int haven_domain_harvest(HavenDomain *domain, uint64_t *bitmap, size_t words,
                         bool keep)
{
    g_assert_not_reached();
}

uint64_t haven_domain_cpu_ns(HavenDomain *domain)
{
    g_assert_not_reached();
}

int haven_domain_pause(HavenDomain *domain)
{
    g_assert_not_reached();
}

void haven_domain_unpause(HavenDomain *domain)
{
    g_assert_not_reached();
}

void haven_domain_halt(HavenDomain *domain)
{
    g_assert_not_reached();
}

int haven_domain_save(HavenDomain *domain, const void *device_model,
                      size_t bytes, haven_buffer *out)
{
    g_assert_not_reached();
}

bool haven_domain_check(Error **errp)
{
    g_assert_not_reached();
}

void haven_domain_list(HavenDeviceList ***tail)
{
    g_assert_not_reached();
}

bool haven_domain_disk_is_idle(DeviceState *dev)
{
    g_assert_not_reached();
}

const char *haven_domain_disk_name(DeviceState *dev)
{
    return NULL;
}

bool haven_suspend_start(struct HavenGuest *g, uint32_t deadline_ms,
                         Error **errp)
{
    g_assert_not_reached();
}

void haven_suspend_stop(void)
{
    g_assert_not_reached();
}

bool haven_domain_suspended(void)
{
    return false;
}

int haven_domain_make_ready(void *opaque)
{
    return 1;
}

struct haven_plugs *haven_vifs_plug(Error **errp)
{
    g_assert_not_reached();
}

int haven_vifs_cut(void *opaque)
{
    return 0;
}

void haven_vifs_release(void *opaque)
{
}

void haven_vifs_release_all(void *opaque)
{
}

int haven_vifs_drop(void *opaque)
{
    return 0;
}
