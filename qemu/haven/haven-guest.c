/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest of this process: the life of its session, and what the rest of the
 * device model may do meanwhile.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "migration/blocker.h"
#include "qemu/timer.h"
#include "hw/core/cpu.h"
#include "sysemu/haven-hooks.h"
#include "sysemu/runstate.h"
#include "sysemu/sysemu.h"
#include "sysemu/xen.h"
#include "haven-int.h"
#include "haven-xen.h"

#include <haven_xen_pv.h>

static HavenGuest *the_guest;
static struct haven_status last_status = {
    .size = sizeof(last_status), .state = HAVEN_STOPPED,
};
static bool halted;

/* --- Callbacks of the library ------------------------------------------- */

static int guest_set_dirty_log(void *opaque, int on)
{
    HavenGuest *g = opaque;

    haven_memory_log(g->memory, on);
    return 0;
}

static void guest_send_frame(void *opaque, void *nic, unsigned flags,
                             const uint8_t *data, size_t bytes)
{
    HavenGuest *g = opaque;

    if (g == the_guest && g_ptr_array_find(g->nics.filters, nic, NULL)) {
        haven_nic_send(nic, flags, data, bytes);
    }
}

static void guest_start_disk_copy(void *opaque, uint32_t index)
{
    HavenGuest *g = opaque;

    if (index < g->disks.count) {
        haven_copy_start(g->disks.disk[index]);
    }
}

static void guest_state_changed(void *opaque, const struct haven_status *status)
{
    haven_event_state(status);
}

static void guest_halt(void *opaque)
{
    HavenGuest *g = opaque;

    halted = true;
    if (haven_memory_domain(g->memory)) {
        haven_domain_halt(haven_memory_domain(g->memory));
    }
    if (g->stopped) {
        g->stopped = false;
        bdrv_drain_all_end();
    }
    vm_stop(RUN_STATE_PAUSED);
}

static uint64_t guest_cpu_ns(void *opaque)
{
    HavenGuest *g = opaque;
    struct timespec used;
    uint64_t sum = 0;
    clockid_t clock;
    CPUState *cpu, *first = NULL;

    if (haven_memory_domain(g->memory)) {
        return haven_domain_cpu_ns(haven_memory_domain(g->memory));
    }
    CPU_FOREACH(cpu) {
        /* Without multi-threading all of them are one thread. */
        if (!cpu->thread || (first && cpu->thread == first->thread)) {
            continue;
        }
        first = first ?: cpu;
        if (!pthread_getcpuclockid(cpu->thread->thread, &clock) &&
            !clock_gettime(clock, &used)) {
            sum += used.tv_sec * NANOSECONDS_PER_SECOND + used.tv_nsec;
        }
    }
    return sum;
}

static int guest_run_state(void *opaque)
{
    static const struct {
        RunState state;
        int run;
    } known[] = {
        { RUN_STATE_RUNNING, HAVEN_RUN_RUNNING },
        { RUN_STATE_PAUSED, HAVEN_RUN_PAUSED },
        { RUN_STATE_IO_ERROR, HAVEN_RUN_IO_ERROR },
        { RUN_STATE_GUEST_PANICKED, HAVEN_RUN_PANICKED },
        { RUN_STATE_WATCHDOG, HAVEN_RUN_WATCHDOG },
    };

    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (runstate_check(known[i].state)) {
            return known[i].run;
        }
    }
    return HAVEN_RUN_OTHER;
}

static void guest_ended(void *opaque);

static const struct haven_guest_ops guest_ops = {
    .size = sizeof(guest_ops),
    .run_on_main = haven_run_on_main,
    .set_dirty_log = guest_set_dirty_log,
    .harvest_dirty = haven_checkpoint_harvest,
    .stop = haven_checkpoint_stop,
    .resume = haven_checkpoint_resume,
    .save_device_state = haven_checkpoint_save,
    .send_frame = guest_send_frame,
    .start_disk_copy = guest_start_disk_copy,
    .state_changed = guest_state_changed,
    .halt = guest_halt,
    .ended = guest_ended,
    .make_ready = haven_settle_make_ready,
    .cut_output = haven_vifs_cut,
    .release_output = haven_vifs_release,
    .release_all_output = haven_vifs_release_all,
    .drop_output = haven_vifs_drop,
    .cpu_ns = guest_cpu_ns,
    .run_state = guest_run_state,
    .disk_stall_ms = haven_settle_stall_ms,
};

/* --- Session ------------------------------------------------------------ */

/* Takes away what haven_guest_start() has put in place. */
static void guest_free(HavenGuest *g)
{
    if (g->nics.filters) {
        haven_nics_set_session(&g->nics, NULL);
        haven_nics_remove(&g->nics);
    }
    haven_settle_stop(g);
    haven_disks_remove(&g->disks);
    if (g->session) {
        haven_session_free(g->session);
    }
    haven_checkpoint_resume(g);
    if (xen_enabled()) {
        haven_suspend_stop();
        haven_plugs_close(g->plugs);
    }
    haven_memory_free(g->memory);
    g_ptr_array_free(g->ide_buses, true);
    haven_watch_free(g->watch);
    if (g->blocker) {
        migrate_del_blocker(g->blocker);
        error_free(g->blocker);
    }
    g_free(g->end_reason);
    g_free(g);
}

static void set_reason(struct haven_status *status, const char *why)
{
    pstrcpy(status->message, sizeof(status->message), why);
    pstrcpy(status->reason, sizeof(status->reason), why);
}

static void guest_ended(void *opaque)
{
    HavenGuest *g = opaque;
    const char *why = g->end_reason;

    haven_checkpoint_resume(g);
    haven_guest_query(&last_status);
    if (why && last_status.state == HAVEN_STOPPED) {
        set_reason(&last_status, why);
        guest_state_changed(g, &last_status);
    }
    the_guest = NULL;
    guest_free(g);
    haven_shutdown_go_on();
}

static bool may_start(Error **errp)
{
    struct haven_status status;

    if (haven_abi_version() != HAVEN_ABI_VERSION) {
        error_setg(errp, "haven: this device model was built for version %d "
                   "of libhaven, the installed library has version %d",
                   HAVEN_ABI_VERSION, haven_abi_version());
        return false;
    }
    if (halted) {
        error_setg(errp, "haven: the backup runs this guest; this copy stays "
                   "halted");
        return false;
    }
    if (haven_gate_waits_for()) {
        error_setg(errp, "haven: %s", haven_gate_waits_for());
        return false;
    }
    if (!the_guest) {
        return true;
    }
    if (the_guest->ending) {
        error_setg(errp, "haven: the protection of this guest is still ending; "
                   "haven status says what it waits for");
        return false;
    }
    haven_guest_query(&status);
    if (status.state == HAVEN_REFUSED) {
        last_status = status;
        guest_free(g_steal_pointer(&the_guest));
        return true;
    }
    error_setg(errp, "haven: the guest is protected already");
    return false;
}

static bool start_session(HavenGuest *g, const struct haven_options *given,
                          Error **errp)
{
    g_autofree struct haven_disk *disks =
        g_new0(struct haven_disk, g->disks.count);
    g_autofree const char **paths = g_new0(const char *, g->disks.count);
    /* A domain's machine is not all in this process. */
    g_autofree char *machine = xen_enabled() ? NULL : haven_machine_describe();
    struct haven_options options = *given;
    struct haven_region *regions;
    size_t region_count = haven_memory_regions(g->memory, &regions);
    struct haven_error error = { "" };

    for (size_t i = 0; i < g->disks.count; i++) {
        disks[i].name = g->disks.disk[i]->name;
        disks[i].bytes = g->disks.disk[i]->bytes;
        paths[i] = g->disks.disk[i]->path;
    }
    options.disk_paths = paths;
    options.output_elsewhere = g->plugs && haven_plugs_count(g->plugs);
    options.state_dir = getenv("HAVEN_STATE_DIR");
    options.machine = machine;
    g->session = haven_session_start(&options, &guest_ops, g, regions,
                                     region_count, disks, g->disks.count,
                                     &error);
    if (!g->session) {
        error_setg(errp, "haven: %s", error.message);
        return false;
    }
    haven_disks_set_session(&g->disks, g->session);
    haven_settle_start(g);
    haven_nics_set_session(&g->nics, g->session);
    return true;
}

static bool start_pv(HavenGuest *g, const struct haven_options *options,
                     Error **errp)
{
    g->plugs = haven_vifs_plug(errp);
    return g->plugs && haven_suspend_start(g, options->deadline_ms, errp);
}

bool haven_guest_start(const struct haven_options *options, Error **errp)
{
    HavenGuest *g;

    if (!may_start(errp) || !haven_check_guest(errp)) {
        return false;
    }
    g = g_new0(HavenGuest, 1);
    g->ide_buses = haven_ide_buses();
    error_setg(&g->blocker, "haven: the guest is protected; "
               "run haven unprotect first");
    if (migrate_add_blocker(g->blocker, errp) < 0) {
        g_clear_pointer(&g->blocker, error_free);
        goto fail;
    }
    g->memory = haven_memory_new(errp);
    if (!g->memory || (xen_enabled() && !start_pv(g, options, errp)) ||
        !haven_nics_insert(&g->nics, errp) ||
        !haven_disks_insert(&g->disks, errp)) {
        goto fail;
    }
    g->watch = haven_watch_new(g->blocker);
    if (!start_session(g, options, errp)) {
        goto fail;
    }
    the_guest = g;
    return true;

fail:
    guest_free(g);
    return false;
}

bool haven_guest_set_mode(const struct haven_mode *mode, Error **errp)
{
    struct haven_error error = { "" };

    struct haven_status status = { .size = sizeof(status) };

    haven_guest_query(&status);
    if (!the_guest || status.state == HAVEN_REFUSED ||
        status.state == HAVEN_LOST || status.state == HAVEN_STOPPED) {
        error_setg(errp, "haven: the guest is not protected");
        return false;
    }
    if (haven_session_set_mode(the_guest->session, mode, &error) < 0) {
        error_setg(errp, "haven: %s", error.message);
        return false;
    }
    return true;
}

/* @why: for the status when it has ended, or NULL. */
static bool end_session(int reason, const char *why, Error **errp)
{
    HavenGuest *g = the_guest;
    struct haven_error error = { "" };

    if (!g) {
        error_setg(errp, "haven: the guest is not protected");
        return false;
    }
    if (haven_session_stop(g->session, reason, &error) < 0) {
        error_setg(errp, "haven: protection cannot be ended: %s",
                   error.message);
        return false;
    }
    if (!g->ending) {
        g->ending = true;
        g->end_reason = g_strdup(why);
    }
    return true;
}

bool haven_guest_unprotect(Error **errp)
{
    return end_session(HAVEN_STOP_UNPROTECT, NULL, errp);
}

bool haven_guest_power_off(Error **errp)
{
    return end_session(HAVEN_STOP_GUEST_OFF, NULL, errp);
}

bool haven_guest_has_session(void)
{
    return the_guest != NULL;
}

static char *give_up_reason;

static void give_up_bh(void *opaque)
{
    g_autofree char *why = g_steal_pointer(&give_up_reason);

    if (the_guest && !the_guest->ending) {
        error_report("haven: protection ends: %s", why);
        end_session(HAVEN_STOP_UNPROTECT, why, NULL);
    }
}

void haven_guest_give_up(const char *why)
{
    if (!give_up_reason) {
        give_up_reason = g_strdup(why);
        aio_bh_schedule_oneshot(iohandler_get_aio_context(), give_up_bh, NULL);
    }
}

void haven_guest_query(struct haven_status *status)
{
    if (the_guest) {
        *status = (struct haven_status) { .size = sizeof(*status) };
        haven_session_query(the_guest->session, status);
    } else {
        *status = last_status;
        pstrcpy(status->run_state, sizeof(status->run_state),
                haven_run_name(guest_run_state(NULL)));
    }
    if (haven_gate_waits_for()) {
        status->state = HAVEN_HELD;
        set_reason(status, haven_gate_waits_for());
    }
}

/* --- Hooks -------------------------------------------------------------- */

bool haven_change_allowed(const char *what, Error **errp)
{
    if (!the_guest) {
        return true;
    }
    error_setg(errp, "haven: cannot %s: the guest is protected; "
               "run haven unprotect first", what);
    return false;
}

bool haven_guest_undecided(Error **errp)
{
    return halted || haven_change_allowed("decide about its copy", errp);
}

bool haven_run_allowed(Error **errp)
{
    if (halted) {
        error_setg(errp, "haven: the backup runs this guest; this copy stays "
                   "halted");
        return false;
    }
    if (the_guest && the_guest->stopped) {
        error_setg(errp, "haven: the guest is held until a backup is back");
        return false;
    }
    return haven_gate_allows(errp);
}

bool haven_start_allowed(void)
{
    return !halted && haven_gate_allows(NULL);
}
