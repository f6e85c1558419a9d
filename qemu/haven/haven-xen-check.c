/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What becomes of a domain's PV devices; see haven_xen_pv.h. */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-types-haven.h"
#include "qemu/main-loop.h"
#include "hw/xen/xen-block.h"
#include "hw/xen/xen-bus.h"
#include "hw/xen/xen-legacy-backend.h"
#include "sysemu/xen.h"
#include "sysemu/block-backend.h"
#include "haven-int.h"
#include "haven-xen.h"

#include <haven_xen_pv.h>

QEMU_BUILD_BUG_ON((int)HAVEN_COVERAGE_REPLICATED !=
                  (int)HAVEN_COVERED_REPLICATED);
QEMU_BUILD_BUG_ON((int)HAVEN_COVERAGE_HELD != (int)HAVEN_COVERED_HELD);
QEMU_BUILD_BUG_ON((int)HAVEN_COVERAGE_SAVED != (int)HAVEN_COVERED_SAVED);
QEMU_BUILD_BUG_ON((int)HAVEN_COVERAGE_NOT_HELD != (int)HAVEN_COVERED_NOT_HELD);
QEMU_BUILD_BUG_ON((int)HAVEN_COVERAGE_REFUSED != (int)HAVEN_COVERED_REFUSED);

/* Of the session; else NULL. */
static haven_frontends *watched;

char *haven_domain_read(const char *directory, const char *device,
                        const char *node)
{
    g_autofree char *path = g_strdup_printf("%s/%s/%s", directory, device,
                                            node);
    unsigned int bytes;

    return xs_read(xenstore, XBT_NULL, path, &bytes);
}

bool haven_domain_check(Error **errp)
{
    struct haven_error error;
    haven_frontends *frontends = haven_frontends_open(xen_domid, &error);
    bool ok = frontends && haven_frontends_check(frontends, &error) == 0;

    if (!ok) {
        error_setg(errp, "haven: %s", error.message);
    }
    haven_frontends_close(frontends);
    return ok;
}

bool haven_domain_watch(IOHandler *changed, Error **errp)
{
    struct haven_error error;

    watched = haven_frontends_open(xen_domid, &error);
    if (!watched || haven_frontends_begin(watched, &error) < 0) {
        error_setg(errp, "haven: %s", error.message);
        haven_frontends_close(watched);
        watched = NULL;
        return false;
    }
    qemu_set_fd_handler(haven_frontends_fd(watched), changed, NULL, NULL);
    return true;
}

void haven_domain_unwatch(void)
{
    if (watched) {
        qemu_set_fd_handler(haven_frontends_fd(watched), NULL, NULL, NULL);
        haven_frontends_close(watched);
        watched = NULL;
    }
}

bool haven_domain_covered(Error **errp)
{
    struct haven_error error;

    if (haven_frontends_covered(watched, &error) == 0) {
        return true;
    }
    error_setg(errp, "%s", error.message);
    return false;
}

static void list_frontend(void *opaque, const char *title, const char *type,
                          enum haven_coverage coverage, const char *why)
{
    HavenDeviceList ***tail = opaque;
    HavenDevice *device = g_new0(HavenDevice, 1);

    device->path = g_strdup(title);
    device->type = g_strdup(type);
    device->coverage = (HavenCoverage)coverage;
    device->has_why = *why != '\0';
    device->why = device->has_why ? g_strdup(why) : NULL;
    QAPI_LIST_APPEND(*tail, device);
}

void haven_domain_list(HavenDeviceList ***tail)
{
    struct haven_error error;
    haven_frontends *frontends = haven_frontends_open(xen_domid, &error);

    /* haven_domain_check() says it when they cannot be read. */
    if (frontends) {
        haven_frontends_list(frontends, list_frontend, tail, &error);
    }
    haven_frontends_close(frontends);
}

bool haven_domain_disk_is_idle(DeviceState *dev)
{
    XenDevice *device =
        (XenDevice *)object_dynamic_cast(OBJECT(dev), TYPE_XEN_BLOCK_DEVICE);

    return device && device->frontend_state != XenbusStateConnected;
}

const char *haven_domain_disk_name(DeviceState *dev)
{
    XenBlockDevice *device =
        (XenBlockDevice *)object_dynamic_cast(OBJECT(dev),
                                              TYPE_XEN_BLOCK_DEVICE);

    return device && device->drive ? device->drive->id : NULL;
}

bool haven_domain_disks_covered(Error **errp)
{
    BlockBackend *blk;

    for (blk = blk_all_next(NULL); blk; blk = blk_all_next(blk)) {
        DeviceState *dev = blk_get_attached_dev(blk);
        const char *name = dev ? haven_domain_disk_name(dev) : NULL;

        if (name && !haven_domain_disk_is_idle(dev) && blk_is_writable(blk) &&
            blk_bs(blk) && !haven_block_disk(blk_bs(blk))) {
            error_setg(errp, "the guest has begun to use the PV disk %s after "
                       "it was protected; protect it again", name);
            return false;
        }
    }
    return true;
}
