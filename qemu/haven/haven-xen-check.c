/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which of a domain's devices bypass this process. */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "hw/xen/xen-block.h"
#include "hw/xen/xen-bus.h"
#include "hw/xen/xen-legacy-backend.h"
#include "sysemu/xen.h"
#include "sysemu/block-backend.h"
#include "haven-int.h"
#include "haven-xen.h"

typedef struct Backend {
    const char *type;           /* in xenstore */
    bool when_connected;        /* else: when it exists */
    const char *what;
    const char *instead;
} Backend;

static const Backend bypasses[] = {
    { "vbd", true, "is served by the kernel's blkback",
      "write backendtype=qdisk in its disk=[...] line and start the guest "
      "again" },
    { "pci", false, "is a passed-through device, whose state cannot be saved",
      "remove its pci=[...] line" },
    { "vusb", false, "is a PV USB controller, which this version does not "
      "replicate", "remove its usbctrl=[...] line" },
};

char *haven_domain_read(const char *directory, const char *device,
                        const char *node)
{
    g_autofree char *path = g_strdup_printf("%s/%s/%s", directory, device,
                                            node);
    unsigned int bytes;

    return xs_read(xenstore, XBT_NULL, path, &bytes);
}

static bool bypasses_us(const Backend *b, const char *directory,
                        const char *device)
{
    char *state;
    bool connected;

    if (!b->when_connected) {
        return true;
    }
    state = haven_domain_read(directory, device, "state");
    connected = state && atoi(state) == XenbusStateConnected;
    free(state);
    return connected;
}

static bool check_backend(const Backend *b, Error **errp)
{
    g_autofree char *directory =
        g_strdup_printf("/local/domain/0/backend/%s/%u", b->type, xen_domid);
    unsigned int count = 0;
    char **devices = xs_directory(xenstore, XBT_NULL, directory, &count);
    bool ok = true;

    for (unsigned int i = 0; ok && i < count; i++) {
        ok = !bypasses_us(b, directory, devices[i]);
        if (!ok) {
            error_setg(errp, "haven: device %s %s of domain %u %s; %s",
                       b->type, devices[i], xen_domid, b->what, b->instead);
        }
    }
    free(devices);
    return ok;
}

bool haven_domain_check(Error **errp)
{
    for (size_t i = 0; i < ARRAY_SIZE(bypasses); i++) {
        if (!check_backend(&bypasses[i], errp)) {
            return false;
        }
    }
    return true;
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
