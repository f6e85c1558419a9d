/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The output of NICs that netback serves: it is held in the kernel. */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "hw/xen/interface/io/xenbus.h"
#include "hw/xen/xen-legacy-backend.h"
#include "sysemu/xen.h"
#include "haven-int.h"
#include "haven-xen.h"

#include <haven_xen_pv.h>

typedef struct Vifs {
    GArray *list;               /* struct haven_vif */
    GPtrArray *names;           /* what owns the names in it */
} Vifs;

/* The device of a vif that is in use, else NULL. */
static char *device_in_use(const char *directory, const char *number)
{
    char *state = haven_domain_read(directory, number, "state");
    bool connected = state && atoi(state) == XenbusStateConnected;
    char *name = haven_domain_read(directory, number, "vifname");
    char *device = NULL;

    if (connected) {
        device = name && *name ? g_strdup(name)
                               : g_strdup_printf("vif%u.%s", xen_domid, number);
    }
    free(state);
    free(name);
    return device;
}

static Vifs vifs_in_use(void)
{
    g_autofree char *directory =
        g_strdup_printf("/local/domain/0/backend/vif/%u", xen_domid);
    unsigned int count = 0;
    char **numbers = xs_directory(xenstore, XBT_NULL, directory, &count);
    Vifs vifs = {
        .list = g_array_new(false, false, sizeof(struct haven_vif)),
        .names = g_ptr_array_new_with_free_func(g_free),
    };

    for (unsigned int i = 0; i < count; i++) {
        struct haven_vif vif = {
            .device = device_in_use(directory, numbers[i]),
            .number = atoi(numbers[i]),
        };

        if (vif.device) {
            g_array_append_val(vifs.list, vif);
            g_ptr_array_add(vifs.names, (char *)vif.device);
        }
    }
    free(numbers);
    return vifs;
}

static void vifs_free(Vifs *vifs)
{
    g_array_free(vifs->list, true);
    g_ptr_array_free(vifs->names, true);
}

haven_plugs *haven_vifs_plug(Error **errp)
{
    Vifs vifs = vifs_in_use();
    struct haven_error error;
    haven_plugs *plugs;

    plugs = haven_plugs_open(xen_domid, (struct haven_vif *)vifs.list->data,
                             vifs.list->len, &error);
    if (!plugs) {
        error_setg(errp, "haven: %s", error.message);
    }
    vifs_free(&vifs);
    return plugs;
}

bool haven_vifs_covered(haven_plugs *plugs, Error **errp)
{
    Vifs vifs = vifs_in_use();
    bool ok = true;

    for (guint i = 0; ok && i < vifs.list->len; i++) {
        const char *device =
            g_array_index(vifs.list, struct haven_vif, i).device;

        ok = haven_plugs_cover(plugs, device);
        if (!ok) {
            error_setg(errp, "the guest has begun to use the PV NIC %s after "
                       "it was protected; protect it again", device);
        }
    }
    vifs_free(&vifs);
    return ok;
}

static int report(int ret, const struct haven_error *error)
{
    if (ret < 0) {
        error_report("haven: %s", error->message);
        return -EIO;
    }
    return 0;
}

int haven_vifs_cut(void *opaque)
{
    HavenGuest *g = opaque;
    struct haven_error error;

    return g->plugs ? report(haven_plugs_cut(g->plugs, &error), &error) : 0;
}

void haven_vifs_release(void *opaque)
{
    HavenGuest *g = opaque;

    if (g->plugs) {
        haven_plugs_release(g->plugs);
    }
}

void haven_vifs_release_all(void *opaque)
{
    HavenGuest *g = opaque;
    struct haven_error error;

    if (g->plugs) {
        report(haven_plugs_release_all(g->plugs, &error), &error);
    }
}

int haven_vifs_drop(void *opaque)
{
    HavenGuest *g = opaque;
    struct haven_error error;

    return g->plugs ? report(haven_plugs_drop(g->plugs, &error), &error) : 0;
}
