/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which of a domain's devices bypass this process, and HAVEN's own monitor for
 * a device model that libxl has started.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/notify.h"
#include "chardev/char.h"
#include "hw/xen/xen-block.h"
#include "hw/xen/xen-bus.h"
#include "hw/xen/xen-legacy-backend.h"
#include "monitor/monitor.h"
#include "sysemu/sysemu.h"
#include "sysemu/xen.h"
#include "haven-xen.h"

/* --- Devices ------------------------------------------------------------ */

typedef struct Backend {
    const char *type;           /* in xenstore */
    bool when_connected;        /* else: when it exists */
    const char *what;
    const char *instead;
} Backend;

static const Backend bypasses[] = {
    { "vbd", true, "is served by the kernel's blkback",
      "write backendtype=qdisk in its disk=[...] line and start the guest "
      "without PV drivers (xen_platform_pci=0)" },
    { "qdisk", true, "is used through PV drivers, which this version does not "
      "replicate", "start the guest without them (xen_platform_pci=0)" },
    { "vif", true, "is used through PV drivers: its frames pass netback",
      "start the guest without PV drivers (xen_platform_pci=0) and write "
      "model=e1000 in its vif=[...] line" },
    { "pci", false, "is a passed-through device, whose state cannot be saved",
      "remove its pci=[...] line" },
    { "vusb", false, "is a PV USB controller, which this version does not "
      "replicate", "remove its usbctrl=[...] line" },
};

static char *read_node(const char *directory, const char *device,
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
    state = read_node(directory, device, "state");
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

/* --- Monitor ------------------------------------------------------------ */

/* The name of the domain while it is restored, see xl migrate-receive. */
#define INCOMING_SUFFIX "--incoming"

static char *guest_name(void)
{
    char *name = g_strdup(qemu_get_vm_name());

    if (name && g_str_has_suffix(name, INCOMING_SUFFIX)) {
        name[strlen(name) - strlen(INCOMING_SUFFIX)] = '\0';
    }
    if (!name || !*name || strchr(name, '/')) {
        g_free(name);
        name = g_strdup_printf("%u", xen_domid);
    }
    return name;
}

/*
 * libxl's monitor takes one client, libxl, and its options cannot be extended
 * without a line in xl.cfg: HAVEN has a monitor of its own, where the haven
 * command looks for it.
 */
static void open_monitor(Notifier *notifier, void *data)
{
    const char *directory = g_getenv("HAVEN_RUN_DIR");
    g_autofree char *name = NULL;
    g_autofree char *address = NULL;
    Error *err = NULL;
    Chardev *chr;

    if (!xen_enabled()) {
        return;
    }
    directory = directory && *directory ? directory : "/run/haven";
    name = guest_name();
    if (g_mkdir_with_parents(directory, 0700) < 0) {
        warn_report("haven: cannot make %s: %s; this guest cannot be "
                    "protected", directory, strerror(errno));
        return;
    }
    address = g_strdup_printf("unix:%s/%s.qmp,server=on,wait=off", directory,
                              name);
    chr = qemu_chr_new("haven-monitor", address, NULL);
    if (!chr) {
        warn_report("haven: cannot open %s/%s.qmp; this guest cannot be "
                    "protected", directory, name);
        return;
    }
    monitor_init_qmp(chr, false, &err);
    if (err) {
        warn_reportf_err(err, "haven: ");
    }
}

static void haven_xen_register(void)
{
    static Notifier notifier = { .notify = open_monitor };

    qemu_add_machine_init_done_notifier(&notifier);
}

type_init(haven_xen_register)
