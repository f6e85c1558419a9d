/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HAVEN's own monitor of a device model that libxl has started. */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/notify.h"
#include "chardev/char.h"
#include "hw/xen/xen.h"
#include "monitor/monitor.h"
#include "sysemu/sysemu.h"
#include "sysemu/xen.h"

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

/* For those who know the guest by its number: by-domid/N leads to NAME.qmp. */
static void name_by_domid(const char *directory, const char *name)
{
    g_autofree char *folder = g_strdup_printf("%s/by-domid", directory);
    g_autofree char *path = g_strdup_printf("%s/%u", folder, xen_domid);
    g_autofree char *target = g_strdup_printf("../%s.qmp", name);

    unlink(path);   /* of a domain that had the number before */
    if (g_mkdir_with_parents(folder, 0700) < 0 || symlink(target, path) < 0) {
        warn_report("haven: cannot make %s: %s; the guest is known by its name "
                    "only", path, strerror(errno));
    }
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
    name_by_domid(directory, name);
}

static void haven_xen_register(void)
{
    static Notifier notifier = { .notify = open_monitor };

    qemu_add_machine_init_done_notifier(&notifier);
}

type_init(haven_xen_register)
