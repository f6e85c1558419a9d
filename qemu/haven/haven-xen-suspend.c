/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest with PV drivers stops for a checkpoint by its own suspend.  It gets
 * there through its drivers and through us: the main loop serves it meanwhile,
 * and nothing here waits.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "hw/xen/xen.h"
#include "haven-int.h"
#include "haven-xen.h"

#include <haven_xen_pv.h>

/* As many deadlines as a backup may take for what it has to do. */
#define PATIENCE_DEADLINES 10
/* So often it is seen whether the guest has begun with what would pass us. */
#define COVERED_MS 50
/* A kernel that has not suspended so long after it was asked never will. */
#define FORGET_MS 60000

/* One for the process: a guest may follow a request after its session. */
static struct {
    haven_suspend *suspend;
    HavenGuest *guest;          /* of the session */
    QEMUTimer *timer;           /* patience is over, or forget */
    int64_t patience_ms;
    int64_t asking_since_ms;    /* 0: the last request was followed */
    bool suspended;             /* the domain stands still for us */
    QEMUTimer *watch;
    int64_t looked_ms;          /* whether all that the guest uses is covered */
} state;

static int64_t now_ms(void)
{
    return qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
}

static bool check(int ret, const struct haven_error *error)
{
    if (ret < 0) {
        error_report("haven: %s", error->message);
    }
    return ret >= 0;
}

bool haven_domain_suspended(void)
{
    return state.suspended;
}

void haven_domain_resume(void)
{
    struct haven_error error;

    state.suspended = false;
    check(haven_suspend_resume(state.suspend, &error), &error);
}

static void look_whether_arrived(void *opaque)
{
    struct haven_error error;
    int ret = haven_suspend_arrived(state.suspend, &error);

    if (!check(ret, &error) || !ret) {
        return;
    }
    state.suspended = true;
    state.asking_since_ms = 0;
    timer_del(state.timer);
    if (state.guest) {
        haven_session_ready(state.guest->session, 1);
    }
    /* Nobody wants the checkpoint any more, or it could not be taken. */
    if (state.suspended && !(state.guest && state.guest->stopped)) {
        haven_domain_resume();
    }
}

/* The guest may be on its way: let it go on when it arrives. */
static void take_back(void)
{
    struct haven_error error;
    int ret = haven_suspend_withdraw(state.suspend, &error);

    state.asking_since_ms = 0;
    timer_del(state.timer);
    if (check(ret, &error) && !ret) {
        timer_mod(state.timer, now_ms() + FORGET_MS);
    }
}

static void on_timer(void *opaque)
{
    if (!state.guest) {
        haven_suspend_forget(state.suspend);
        return;
    }
    take_back();
    haven_session_ready(state.guest->session, -EAGAIN);
    haven_guest_give_up("the guest did not suspend when it was asked to; look "
                        "for messages about freezing in its kernel log");
}

/* The guest has begun with what would pass us: too late to hold it. */
static bool still_covered(HavenGuest *g)
{
    Error *err = NULL;

    state.looked_ms = now_ms();
    if (haven_domain_covered(&err) && haven_vifs_covered(g->plugs, &err) &&
        haven_domain_disks_covered(&err)) {
        return true;
    }
    haven_guest_give_up(error_get_pretty(err));
    error_free(err);
    return false;
}

static void look_at_devices(void *opaque)
{
    if (state.guest) {
        still_covered(state.guest);
    }
}

/* However rare checkpoints are. */
static void watch_coverage(void *opaque)
{
    if (!state.guest || (now_ms() >= state.looked_ms + COVERED_MS &&
                         !still_covered(state.guest))) {
        return;
    }
    timer_mod(state.watch, state.looked_ms + COVERED_MS);
}

static bool open_suspend(Error **errp)
{
    struct haven_error error;

    if (state.suspend) {
        return true;
    }
    state.suspend = haven_suspend_open(xen_domid, &error);
    if (!state.suspend) {
        error_setg(errp, "haven: %s", error.message);
        return false;
    }
    state.timer = timer_new_ms(QEMU_CLOCK_REALTIME, on_timer, NULL);
    state.watch = timer_new_ms(QEMU_CLOCK_REALTIME, watch_coverage, NULL);
    /* Not run by a nested event loop, see haven_run_on_main(). */
    qemu_set_fd_handler(haven_suspend_fd(state.suspend), look_whether_arrived,
                        NULL, NULL);
    return true;
}

bool haven_suspend_start(HavenGuest *g, uint32_t deadline_ms, Error **errp)
{
    struct haven_error error;

    if (!open_suspend(errp)) {
        return false;
    }
    if (haven_suspend_begin(state.suspend, &error) < 0) {
        error_setg(errp, "haven: %s", error.message);
        return false;
    }
    if (!haven_domain_watch(look_at_devices, errp)) {
        return false;
    }
    timer_del(state.timer);
    state.guest = g;
    state.patience_ms = (int64_t)deadline_ms * PATIENCE_DEADLINES;
    state.asking_since_ms = 0;
    state.looked_ms = now_ms();
    timer_mod(state.watch, state.looked_ms + COVERED_MS);
    return true;
}

void haven_suspend_stop(void)
{
    if (state.guest) {
        state.guest = NULL;
        timer_del(state.watch);
        haven_domain_unwatch();
        take_back();
    }
}

int haven_domain_make_ready(void *opaque)
{
    HavenGuest *g = opaque;
    struct haven_error error;
    int answer;

    if (!haven_memory_domain(g->memory)) {
        return 1;
    }
    answer = haven_suspend_ask(state.suspend, &error);
    switch (answer) {
    case HAVEN_SUSPEND_NO_DRIVERS:
        return 1;
    case HAVEN_SUSPEND_PAUSED:
        state.asking_since_ms = 0;
        timer_del(state.timer);
        return -EAGAIN;
    case HAVEN_SUSPEND_ASKED:
    case HAVEN_SUSPEND_BUSY:
        break;
    default:
        haven_guest_give_up(error.message);
        return -EAGAIN;
    }
    if (!state.asking_since_ms) {
        state.asking_since_ms = now_ms();
        timer_mod(state.timer, state.asking_since_ms + state.patience_ms);
    }
    /* While the guest is busy with it. */
    if (!still_covered(g) || answer == HAVEN_SUSPEND_BUSY) {
        return -EAGAIN;
    }
    return 0;
}
