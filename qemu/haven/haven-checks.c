/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What makes a guest impossible to replicate, apart from its disks and NICs. */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "block/blockjob.h"
#include "hw/qdev-core.h"
#include "sysemu/xen.h"
#include "migration/migration.h"
#include "migration/misc.h"
#include "sysemu/replay.h"
#include "sysemu/runstate.h"
#include "haven-int.h"
#include "haven-xen.h"

typedef struct Refusal {
    const char *type;       /* "-" at its end: every type that begins so */
    const char *why;
    const char *instead;
} Refusal;

static const Refusal refused_devices[] = {
    { "vhost-", "works on guest memory outside the device model",
      "remove it, or use the device without vhost" },
    { "vfio-", "is hardware, whose state cannot be saved", "remove it" },
    /* Its schedule is consistent only after the run state has changed. */
    { "pci-ehci-usb", "cannot be saved while the guest runs",
      "use qemu-xhci" },
};

static bool type_matches(Object *obj, const char *type)
{
    if (g_str_has_suffix(type, "-")) {
        return g_str_has_prefix(object_get_typename(obj), type);
    }
    return object_dynamic_cast(obj, type) != NULL;
}

static int check_device(Object *obj, void *opaque)
{
    Error **errp = opaque;

    if (!object_dynamic_cast(obj, TYPE_DEVICE)) {
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(refused_devices); i++) {
        const Refusal *r = &refused_devices[i];

        if (type_matches(obj, r->type)) {
            g_autofree char *path = object_get_canonical_path(obj);

            error_setg(errp, "haven: device %s (%s) %s; %s", path,
                       object_get_typename(obj), r->why, r->instead);
            return 1;
        }
    }
    return 0;
}

static bool check_jobs(Error **errp)
{
    BlockJob *job;

    JOB_LOCK_GUARD();
    job = block_job_next_locked(NULL);
    if (job) {
        error_setg(errp, "haven: block job %s is running; wait for its end or "
                   "cancel it", job->job.id ? job->job.id : "(internal)");
        return false;
    }
    return true;
}

bool haven_check_guest(Error **errp)
{
    if (!runstate_check(RUN_STATE_RUNNING) &&
        !runstate_check(RUN_STATE_PAUSED)) {
        error_setg(errp, "haven: the guest is neither running nor paused; "
                   "query-status says what it waits for");
        return false;
    }
    if (xen_enabled() && !haven_domain_check(errp)) {
        return false;
    }
    if (replay_mode != REPLAY_MODE_NONE) {
        error_setg(errp, "haven: a guest under record/replay cannot be "
                   "replicated; start it without rr=");
        return false;
    }
    if (!migration_is_idle()) {
        error_setg(errp, "haven: a migration is running; wait for its end or "
                   "cancel it");
        return false;
    }
    if (migration_is_blocked(errp)) {
        error_prepend(errp, "haven: the state of this guest cannot be saved: ");
        return false;
    }
    return check_jobs(errp) &&
        !object_child_foreach_recursive(object_get_root(), check_device, errp);
}
