/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The monitor's side of HAVEN; see qapi/haven.json. */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-haven.h"
#include "qapi/qapi-events-haven.h"
#include "haven-int.h"

QEMU_BUILD_BUG_ON((int)HAVEN_STATE_CONNECTING != (int)HAVEN_CONNECTING);
QEMU_BUILD_BUG_ON((int)HAVEN_STATE_SYNCING != (int)HAVEN_SYNCING);
QEMU_BUILD_BUG_ON((int)HAVEN_STATE_PROTECTED != (int)HAVEN_PROTECTED);
QEMU_BUILD_BUG_ON((int)HAVEN_STATE_UNPROTECTED != (int)HAVEN_UNPROTECTED);
QEMU_BUILD_BUG_ON((int)HAVEN_STATE_REFUSED != (int)HAVEN_REFUSED);
QEMU_BUILD_BUG_ON((int)HAVEN_STATE_LOST != (int)HAVEN_LOST);
QEMU_BUILD_BUG_ON((int)HAVEN_STATE_STOPPED != (int)HAVEN_STOPPED);
QEMU_BUILD_BUG_ON((int)HAVEN_BACKUP_LOSS_CONTINUE != (int)HAVEN_LOSS_CONTINUE);
QEMU_BUILD_BUG_ON((int)HAVEN_BACKUP_LOSS_PAUSE != (int)HAVEN_LOSS_PAUSE);

void qmp_haven_start(const char *guest, const char *host, const char *port,
                     bool has_interval_ms, uint32_t interval_ms,
                     bool has_deadline_ms, uint32_t deadline_ms,
                     bool has_on_backup_loss, HavenBackupLoss on_backup_loss,
                     bool has_arbiter, const char *arbiter, Error **errp)
{
    struct haven_options options = {
        .size = sizeof(options),
        .guest = guest,
        .host = host,
        .port = port,
        .interval_ms = has_interval_ms ? interval_ms : 50,
        .deadline_ms = has_deadline_ms ? deadline_ms : 1000,
        .on_backup_loss = has_on_backup_loss ? (int)on_backup_loss
                                             : HAVEN_LOSS_CONTINUE,
        .arbiter = has_arbiter ? arbiter : NULL,
    };

    haven_guest_start(&options, errp);
}

void qmp_haven_stop(Error **errp)
{
    haven_guest_stop(HAVEN_STOP_UNPROTECT, errp);
}

HavenStatus *qmp_query_haven(Error **errp)
{
    HavenStatus *r = g_new0(HavenStatus, 1);
    struct haven_status s;

    haven_guest_query(&s);
    r->state = s.state;
    r->has_message = s.message[0];
    r->message = r->has_message ? g_strdup(s.message) : NULL;
    r->epoch = s.epoch;
    r->sync_done_bytes = s.sync_done_bytes;
    r->sync_total_bytes = s.sync_total_bytes;
    r->epochs = s.epochs;
    r->losses = s.losses;
    r->pause_p50_us = s.pause_p50_us;
    r->pause_p99_us = s.pause_p99_us;
    r->stop_p50_us = s.stop_p50_us;
    r->stop_p99_us = s.stop_p99_us;
    r->device_p50_us = s.device_p50_us;
    r->device_p99_us = s.device_p99_us;
    r->harvest_p50_us = s.harvest_p50_us;
    r->harvest_p99_us = s.harvest_p99_us;
    r->copy_p50_us = s.copy_p50_us;
    r->copy_p99_us = s.copy_p99_us;
    r->resume_p50_us = s.resume_p50_us;
    r->resume_p99_us = s.resume_p99_us;
    r->settle_p50_us = s.settle_p50_us;
    r->settle_p99_us = s.settle_p99_us;
    r->commit_p50_us = s.commit_p50_us;
    r->commit_p99_us = s.commit_p99_us;
    r->pause_max_us = s.pause_max_us;
    r->dirty_pages_last = s.dirty_pages_last;
    r->dirty_pages_total = s.dirty_pages_total;
    r->memory_wire_bytes = s.memory_wire_bytes;
    r->disk_wire_bytes = s.disk_wire_bytes;
    r->wire_bytes_last = s.wire_bytes_last;
    r->frames_held = s.frames_held;
    r->frames_released = s.frames_released;
    r->frames_dropped = s.frames_dropped;
    r->lag_us = s.lag_us;
    r->cpu_us = s.cpu_us;
    return r;
}

void haven_qmp_state_changed(const struct haven_status *status)
{
    bool has_message = status->message[0];

    qapi_event_send_haven_state((HavenState)status->state, has_message,
                                has_message ? status->message : NULL);
}
