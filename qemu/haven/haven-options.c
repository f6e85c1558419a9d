/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a session starts with, whoever asks for it. */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "haven-int.h"

bool haven_options_init(struct haven_options *options, const char *guest,
                        const char *host, const char *port,
                        const char *arbiter, int on_start, Error **errp)
{
    if (on_start == HAVEN_START_ARBITER && !arbiter) {
        error_setg(errp, "haven: on-start=arbiter needs an arbiter");
        return false;
    }
    if (on_start < 0) {
        on_start = arbiter ? HAVEN_START_ARBITER : HAVEN_START_WAIT;
    }
    *options = (struct haven_options) {
        .size = sizeof(*options),
        .guest = guest,
        .host = host,
        .port = port,
        .interval_ms = 50,
        .deadline_ms = 1000,
        .on_backup_loss = HAVEN_LOSS_CONTINUE,
        .arbiter = arbiter,
        .start_wait_s = 60,
        .on_start = on_start,
    };
    return true;
}
