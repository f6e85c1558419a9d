/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest of this process as the library sees it: stop, save, resume, and
 * the life of a session.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "qemu/notify.h"
#include "qemu/units.h"
#include "block/aio.h"
#include "hw/virtio/virtio.h"
#include "io/channel-buffer.h"
#include "migration/blocker.h"
#include "migration/global_state.h"
#include "migration/qemu-file.h"
#include "migration/savevm.h"
#include "sysemu/cpus.h"
#include "sysemu/cpu-timers.h"
#include "sysemu/haven-hooks.h"
#include "sysemu/runstate.h"
#include "sysemu/sysemu.h"
#include "haven-int.h"

struct HavenGuest {
    haven_session *session;
    HavenMemory *memory;
    HavenDisks disks;
    HavenNics nics;
    Error *blocker;
    bool stopped;               /* between stop() and resume() */
};

static HavenGuest *the_guest;
static struct haven_status last_status = {
    .size = sizeof(last_status), .state = HAVEN_STOPPED,
};
static bool halted;

/* --- run_on_main -------------------------------------------------------- */

typedef struct MainCall {
    void (*fn)(void *arg);
    void *arg;
    QSIMPLEQ_ENTRY(MainCall) next;
} MainCall;

/* Outlives the sessions: a call that was asked for is always made. */
static QemuMutex main_calls_lock;
static QSIMPLEQ_HEAD(, MainCall) main_calls =
    QSIMPLEQ_HEAD_INITIALIZER(main_calls);

static void __attribute__((constructor)) main_calls_init(void)
{
    qemu_mutex_init(&main_calls_lock);
}

static MainCall *next_main_call(void)
{
    MainCall *call;

    QEMU_LOCK_GUARD(&main_calls_lock);
    call = QSIMPLEQ_FIRST(&main_calls);
    if (call) {
        QSIMPLEQ_REMOVE_HEAD(&main_calls, next);
    }
    return call;
}

/*
 * What the guest did to ask for a reset or its end is in the state that a
 * checkpoint would save; that it asked is not.
 */
static bool request_pending(void)
{
    return qemu_shutdown_requested_get() || qemu_reset_requested_get();
}

static void main_calls_bh(void *opaque)
{
    MainCall *call;

    while (true) {
        if (request_pending()) {
            /* The main loop serves it before it comes here again. */
            aio_bh_schedule_oneshot(iohandler_get_aio_context(),
                                    main_calls_bh, NULL);
            return;
        }
        call = next_main_call();
        if (!call) {
            return;
        }
        call->fn(call->arg);
        g_free(call);
    }
}

/*
 * Any thread.  The I/O handlers' context, as QMP commands: a nested event loop
 * (a drain, in a checkpoint or elsewhere) does not run it.
 */
static void guest_run_on_main(void *opaque, void (*fn)(void *arg), void *arg)
{
    MainCall *call = g_new0(MainCall, 1);

    call->fn = fn;
    call->arg = arg;
    WITH_QEMU_LOCK_GUARD(&main_calls_lock) {
        QSIMPLEQ_INSERT_TAIL(&main_calls, call, next);
    }
    aio_bh_schedule_oneshot(iohandler_get_aio_context(), main_calls_bh, NULL);
}

/* --- Checkpoint --------------------------------------------------------- */

static void start_vcpus(void)
{
    if (runstate_is_running()) {
        cpu_enable_ticks();
        resume_all_vcpus();
    }
}

/*
 * No request is in flight after it.  A request's completion may have left its
 * interrupt behind in a bottom half and an event notifier, which only the main
 * loop would deliver; the saved state needs it.
 */
static void drain_begin(void)
{
    bdrv_drain_all_begin();
    aio_poll(qemu_get_aio_context(), false);
    virtio_deliver_guest_notifiers();
}

/*
 * The run state does not change, and no handler of its changes runs: those of
 * virtio would take down and set up ioeventfds (a memory transaction and a flush
 * of all TLBs each time).  A kick that is still in an ioeventfd is not lost:
 * devices look into their rings when the saved guest starts.
 */
static int guest_stop(void *opaque)
{
    HavenGuest *g = opaque;

    haven_memory_new_sweep(g->memory);
    if (!runstate_is_running()) {
        drain_begin();
        bdrv_drain_all_end();
        return 0;
    }
    cpu_disable_ticks();
    pause_all_vcpus();
    if (request_pending()) {
        start_vcpus();
        return -EAGAIN;
    }
    drain_begin();
    g->stopped = true;
    return 1;
}

/* The drained section lasts until here, so that nothing begins in between. */
static void guest_resume(void *opaque)
{
    HavenGuest *g = opaque;

    if (!g->stopped) {
        return;
    }
    g->stopped = false;
    haven_memory_new_sweep(g->memory);
    start_vcpus();
    bdrv_drain_all_end();
}

static int guest_save_device_state(void *opaque, haven_buffer *out)
{
    g_autoptr(QIOChannelBuffer) buf = qio_channel_buffer_new(512 * KiB);
    QEMUFile *f = qemu_file_new_output(QIO_CHANNEL(buf));
    int ret = 0;

    /* Running, or what an administrator made it; not our own stop. */
    if (runstate_is_running()) {
        global_state_store_running();
    } else {
        ret = global_state_store();
    }
    if (!ret) {
        ret = qemu_save_device_state(f);
    }
    qemu_fflush(f);
    if (!ret) {
        ret = qemu_file_get_error(f);
    }
    if (!ret) {
        haven_buffer_append(out, buf->data, buf->usage);
    }
    qemu_fclose(f);
    return ret;
}

static int guest_set_dirty_log(void *opaque, int on)
{
    HavenGuest *g = opaque;

    haven_memory_log(g->memory, on);
    return 0;
}

/*
 * A vCPU between its check of the TLB and its store would write to a page
 * whose bit is already taken: never harvest under running vCPUs.
 */
static int guest_harvest_dirty(void *opaque, size_t index, uint64_t *bitmap,
                               size_t words)
{
    HavenGuest *g = opaque;
    bool running = runstate_is_running() && !g->stopped;
    int ret;

    if (running) {
        pause_all_vcpus();
    }
    ret = haven_memory_harvest(g->memory, index, bitmap, words);
    if (running) {
        resume_all_vcpus();
    }
    return ret;
}

/* --- Other callbacks ---------------------------------------------------- */

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
    haven_qmp_state_changed(status);
}

static void guest_halt(void *opaque)
{
    HavenGuest *g = opaque;

    halted = true;
    if (g->stopped) {
        g->stopped = false;
        bdrv_drain_all_end();
    }
    vm_stop(RUN_STATE_PAUSED);
}

static const struct haven_guest_ops guest_ops = {
    .size = sizeof(guest_ops),
    .run_on_main = guest_run_on_main,
    .set_dirty_log = guest_set_dirty_log,
    .harvest_dirty = guest_harvest_dirty,
    .stop = guest_stop,
    .resume = guest_resume,
    .save_device_state = guest_save_device_state,
    .send_frame = guest_send_frame,
    .start_disk_copy = guest_start_disk_copy,
    .state_changed = guest_state_changed,
    .halt = guest_halt,
};

/* --- Session ------------------------------------------------------------ */

static void shutdown_notify(Notifier *n, void *data)
{
    haven_guest_stop(HAVEN_STOP_GUEST_OFF, NULL);
}

static void watch_shutdown(void)
{
    static Notifier notifier = { .notify = shutdown_notify };

    /* Registering twice would break the list. */
    if (!notifier.node.le_prev) {
        qemu_register_shutdown_notifier(&notifier);
    }
}

/* Takes away what haven_guest_start() has put in place. */
static void guest_free(HavenGuest *g)
{
    if (g->nics.filters) {
        haven_nics_set_session(&g->nics, NULL);
        haven_nics_remove(&g->nics);
    }
    haven_disks_remove(&g->disks);
    if (g->session) {
        haven_session_free(g->session);
    }
    guest_resume(g);
    haven_memory_free(g->memory);
    if (g->blocker) {
        migrate_del_blocker(g->blocker);
        error_free(g->blocker);
    }
    g_free(g);
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
    if (!the_guest) {
        return true;
    }
    haven_guest_query(&status);
    if (status.state == HAVEN_REFUSED || status.state == HAVEN_STOPPED) {
        return haven_guest_stop(HAVEN_STOP_UNPROTECT, errp);
    }
    error_setg(errp, "haven: the guest is protected already");
    return false;
}

static bool start_session(HavenGuest *g, const struct haven_options *options,
                          Error **errp)
{
    g_autofree struct haven_disk *disks =
        g_new0(struct haven_disk, g->disks.count);
    struct haven_region *regions;
    size_t region_count = haven_memory_regions(g->memory, &regions);
    struct haven_error error = { "" };

    for (size_t i = 0; i < g->disks.count; i++) {
        disks[i].name = g->disks.disk[i]->name;
        disks[i].bytes = g->disks.disk[i]->bytes;
    }
    g->session = haven_session_start(options, &guest_ops, g, regions,
                                     region_count, disks, g->disks.count,
                                     &error);
    if (!g->session) {
        error_setg(errp, "haven: %s", error.message);
        return false;
    }
    haven_disks_set_session(&g->disks, g->session);
    haven_nics_set_session(&g->nics, g->session);
    return true;
}

bool haven_guest_start(const struct haven_options *options, Error **errp)
{
    HavenGuest *g;

    if (!may_start(errp) || !haven_check_guest(errp)) {
        return false;
    }
    watch_shutdown();
    g = g_new0(HavenGuest, 1);
    error_setg(&g->blocker, "haven: the guest is protected; "
               "run haven unprotect first");
    if (migrate_add_blocker(g->blocker, errp) < 0) {
        g_clear_pointer(&g->blocker, error_free);
        goto fail;
    }
    g->memory = haven_memory_new(errp);
    if (!g->memory || !haven_nics_insert(&g->nics, errp) ||
        !haven_disks_insert(&g->disks, errp) ||
        !start_session(g, options, errp)) {
        goto fail;
    }
    the_guest = g;
    return true;

fail:
    guest_free(g);
    return false;
}

bool haven_guest_stop(int reason, Error **errp)
{
    HavenGuest *g = the_guest;

    if (!g) {
        error_setg(errp, "haven: the guest is not protected");
        return false;
    }
    haven_session_stop(g->session, reason);
    guest_resume(g);
    haven_guest_query(&last_status);
    the_guest = NULL;
    guest_free(g);
    return true;
}

void haven_guest_query(struct haven_status *status)
{
    if (the_guest) {
        *status = (struct haven_status) { .size = sizeof(*status) };
        haven_session_query(the_guest->session, status);
    } else {
        *status = last_status;
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
    return true;
}
