/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A device model without Xen: none of these is called. */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "haven-xen.h"

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

int haven_domain_harvest(HavenDomain *domain, uint64_t *bitmap, size_t words)
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

bool haven_domain_disk_is_idle(DeviceState *dev)
{
    g_assert_not_reached();
}
