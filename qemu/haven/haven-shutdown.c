/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A shutdown of the device model, which is put off until the session has ended:
 * without that the backup would start the guest.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/timer.h"
#include "sysemu/cpus.h"
#include "sysemu/haven-hooks.h"
#include "sysemu/runstate.h"
#include "haven-int.h"

/* When there is no memory or thread to tell the backup with. */
#define TRIES 20
#define RETRY_MS 500

static ShutdownCause waiting;

static void request(void *opaque)
{
    qemu_system_shutdown_request(waiting);
}

static bool try_again_later(void)
{
    static QEMUTimer *timer;
    static int tries;

    if (++tries > TRIES) {
        return false;
    }
    timer = timer ?: timer_new_ms(QEMU_CLOCK_REALTIME, request, NULL);
    timer_mod(timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + RETRY_MS);
    return true;
}

bool haven_shutdown_must_wait(int cause)
{
    Error *err = NULL;

    if (!haven_guest_has_session()) {
        return false;
    }
    waiting = cause;
    if (!haven_guest_power_off(&err)) {
        error_report_err(err);
        return try_again_later();
    }
    /* It is off: nothing of it is to happen that the backup does not have. */
    pause_all_vcpus();
    return true;
}

void haven_shutdown_go_on(void)
{
    if (waiting) {
        request(NULL);
        waiting = SHUTDOWN_CAUSE_NONE;
    }
}
