/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The start gate: a copy of a guest that had a backup does not run before it is
 * known that the backup's is not newer; see docs/generations.md.
 *
 * Without Xen the vCPUs are not started.  Under Xen the toolstack waits for a
 * running device model, and starts the vCPUs itself: there the domain is paused
 * instead, which xl does not undo.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "sysemu/haven-hooks.h"
#include "sysemu/runstate.h"
#include "sysemu/sysemu.h"
#include "sysemu/xen.h"
#include "haven-int.h"
#include "haven-xen.h"

static haven_gate *gate;
static bool asked;              /* whether there has to be a gate */
static bool start_wanted;       /* when it opens */
static bool domain_held;
static char *waits_for;

static void open_bh(void *opaque)
{
    if (!gate) {
        return;
    }
    haven_gate_free(gate);
    gate = NULL;
    g_clear_pointer(&waits_for, g_free);
    haven_event_held(NULL);
    if (domain_held) {
        domain_held = false;
        haven_domain_hold(false);
    } else if (start_wanted) {
        vm_start();
    }
}

static void gate_changed(void *opaque, int open, const char *message)
{
    if (open) {
        /* Not under its own call. */
        aio_bh_schedule_oneshot(qemu_get_aio_context(), open_bh, NULL);
        return;
    }
    g_free(waits_for);
    waits_for = g_strdup(message);
    warn_report("haven: %s", message);
    haven_event_held(message);
}

static void close_gate(void)
{
    g_autoptr(GPtrArray) paths = haven_disk_paths();
    struct haven_gate_options options = {
        .size = sizeof(options),
        .guest = qemu_get_vm_name(),
        .state_dir = getenv("HAVEN_STATE_DIR"),
        .disk_paths = (const char *const *)paths->pdata,
        .disk_count = paths->len,
        .changed = gate_changed,
        .run_on_main = haven_run_on_main,
    };

    asked = true;
    gate = haven_gate_close(&options);
    if (gate && !waits_for) {
        waits_for = g_strdup("the copy on the backup is being compared");
    }
}

bool haven_gate_allows(Error **errp)
{
    if (!asked) {
        close_gate();
        if (gate && xen_enabled()) {
            haven_domain_hold(true);
            domain_held = true;
        }
    }
    if (!gate || xen_enabled()) {
        return true;
    }
    start_wanted = true;
    error_setg(errp, "haven: %s", waits_for);
    return false;
}

const char *haven_gate_waits_for(void)
{
    return gate ? waits_for : NULL;
}

bool haven_gate_decide(bool adopt, Error **errp)
{
    struct haven_error error = { "" };

    if (!haven_guest_undecided(errp)) {
        return false;
    }
    if (!gate && !adopt && !runstate_is_running()) {
        /* It was never started, or halted because the backup runs it. */
        close_gate();
    }
    if (!gate) {
        error_setg(errp, "haven: %s", runstate_is_running() ?
                   "the guest runs here: there is nothing to decide while it "
                   "does" :
                   "the guest is not held: there is nothing to decide");
        return false;
    }
    if ((adopt ? haven_gate_adopt : haven_gate_discard)(gate, &error) < 0) {
        error_setg(errp, "haven: %s", error.message);
        return false;
    }
    return true;
}
