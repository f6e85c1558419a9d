/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls that the library's threads want made on the main thread, in order. */
#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/queue.h"
#include "block/aio.h"
#include "sysemu/runstate.h"
#include "haven-int.h"

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
bool haven_request_pending(void)
{
    return qemu_shutdown_requested_get() || qemu_reset_requested_get();
}

static void main_calls_bh(void *opaque)
{
    MainCall *call;

    while (true) {
        if (haven_request_pending()) {
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
void haven_run_on_main(void *opaque, void (*fn)(void *arg), void *arg)
{
    MainCall *call = g_new0(MainCall, 1);

    call->fn = fn;
    call->arg = arg;
    WITH_QEMU_LOCK_GUARD(&main_calls_lock) {
        QSIMPLEQ_INSERT_TAIL(&main_calls, call, next);
    }
    aio_bh_schedule_oneshot(iohandler_get_aio_context(), main_calls_bh, NULL);
}
