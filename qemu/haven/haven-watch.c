/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looks before each checkpoint whether all that the guest uses is still covered.
 * Most ways out are closed by hooks; this is for those that nobody thought of,
 * and for what the guest does itself.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "hw/qdev-core.h"
#include "migration/migration.h"
#include "sysemu/xen.h"
#include "haven-int.h"

struct HavenWatch {
    DeviceListener listener;
    bool listening;             /* false while it hears of all there are */
    const Error *ours;          /* the migration blocker of the session */
};

/* The id of it, or of what it is a part of. */
static const char *name_of(const DeviceState *dev)
{
    const DeviceState *at = dev;

    while (at && !at->id) {
        at = at->parent_bus ? at->parent_bus->parent : NULL;
    }
    return at ? at->id : object_get_typename(OBJECT(dev));
}

static void device_changed(DeviceListener *listener, const DeviceState *dev,
                           const char *how)
{
    HavenWatch *w = container_of(listener, HavenWatch, listener);
    g_autofree char *why = NULL;

    /* Under Xen a guest unplugs what its PV drivers replace; those count. */
    if (w->listening && !xen_enabled()) {
        why = g_strdup_printf("device %s was %s", name_of(dev), how);
        haven_guest_give_up(why);
    }
}

static void device_realized(DeviceListener *listener, DeviceState *dev)
{
    device_changed(listener, dev, "added");
}

static void device_unrealized(DeviceListener *listener, DeviceState *dev)
{
    device_changed(listener, dev, "removed");
}

HavenWatch *haven_watch_new(const Error *blocker)
{
    HavenWatch *w = g_new0(HavenWatch, 1);

    w->ours = blocker;
    w->listener.realize = device_realized;
    w->listener.unrealize = device_unrealized;
    device_listener_register(&w->listener);
    w->listening = true;
    return w;
}

void haven_watch_free(HavenWatch *w)
{
    if (w) {
        device_listener_unregister(&w->listener);
        g_free(w);
    }
}

/* The newest blocker is the first, and ours was the last before the session. */
static bool nothing_new_blocks(HavenWatch *w, Error **errp)
{
    Error *first = NULL;

    if (!migration_is_blocked(&first)) {
        return true;
    }
    if (!strcmp(error_get_pretty(first), error_get_pretty(w->ours))) {
        error_free(first);
        return true;
    }
    error_propagate(errp, first);
    return false;
}

bool haven_watch_covered(HavenWatch *w, const HavenDisks *disks, Error **errp)
{
    return nothing_new_blocks(w, errp) && haven_disks_covered(disks, errp);
}
