/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the monitor may ask for; see qapi/haven.json. */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-haven.h"
#include "haven-int.h"

/* Every file of this folder takes the schema's numbers for the library's. */
QEMU_BUILD_BUG_ON((int)HAVEN_STATE_CONNECTING != (int)HAVEN_CONNECTING);
QEMU_BUILD_BUG_ON((int)HAVEN_STATE_SYNCING != (int)HAVEN_SYNCING);
QEMU_BUILD_BUG_ON((int)HAVEN_STATE_PROTECTED != (int)HAVEN_PROTECTED);
QEMU_BUILD_BUG_ON((int)HAVEN_STATE_UNPROTECTED != (int)HAVEN_UNPROTECTED);
QEMU_BUILD_BUG_ON((int)HAVEN_STATE_REFUSED != (int)HAVEN_REFUSED);
QEMU_BUILD_BUG_ON((int)HAVEN_STATE_LOST != (int)HAVEN_LOST);
QEMU_BUILD_BUG_ON((int)HAVEN_STATE_STOPPED != (int)HAVEN_STOPPED);
QEMU_BUILD_BUG_ON((int)HAVEN_STATE_HELD != (int)HAVEN_HELD);
QEMU_BUILD_BUG_ON((int)HAVEN_ON_START_WAIT != (int)HAVEN_START_WAIT);
QEMU_BUILD_BUG_ON((int)HAVEN_ON_START_ARBITER != (int)HAVEN_START_ARBITER);
QEMU_BUILD_BUG_ON((int)HAVEN_ON_START_START != (int)HAVEN_START_ANYWAY);
QEMU_BUILD_BUG_ON((int)HAVEN_BACKUP_LOSS_CONTINUE != (int)HAVEN_LOSS_CONTINUE);
QEMU_BUILD_BUG_ON((int)HAVEN_BACKUP_LOSS_PAUSE != (int)HAVEN_LOSS_PAUSE);

QEMU_BUILD_BUG_ON((int)HAVEN_ENCODER_STAGES_ALL != (int)HAVEN_ENCODER_ALL);
QEMU_BUILD_BUG_ON((int)HAVEN_ENCODER_STAGES_NONE != (int)HAVEN_ENCODER_NONE);
QEMU_BUILD_BUG_ON((int)HAVEN_ENCODER_STAGES_BLOCKS !=
                  (int)HAVEN_ENCODER_BLOCKS);
QEMU_BUILD_BUG_ON((int)HAVEN_ENCODER_STAGES_SHARING !=
                  (int)HAVEN_ENCODER_SHARING);
QEMU_BUILD_BUG_ON((int)HAVEN_ENCODER_STAGES_COMPRESSION !=
                  (int)HAVEN_ENCODER_COMPRESSION);
QEMU_BUILD_BUG_ON((int)HAVEN_ENCODER_COMPRESSION_ADAPTIVE !=
                  (int)HAVEN_COMPRESSION_ADAPTIVE);
QEMU_BUILD_BUG_ON((int)HAVEN_ENCODER_COMPRESSION_ZLIB !=
                  (int)HAVEN_COMPRESSION_ZLIB);
QEMU_BUILD_BUG_ON((int)HAVEN_ENCODER_COMPRESSION_LZ4 !=
                  (int)HAVEN_COMPRESSION_LZ4);
QEMU_BUILD_BUG_ON((int)HAVEN_ENCODER_COMPRESSION_ZSTD !=
                  (int)HAVEN_COMPRESSION_ZSTD);

/* What was not given stays 0, which is the library's default. */
static bool read_encoder(const HavenEncoder *from, struct haven_options *to,
                         Error **errp)
{
    if ((from->has_block_bytes && !from->block_bytes) ||
        (from->has_cache_bytes && !from->cache_bytes) ||
        (from->has_cache_percent && !from->cache_percent) ||
        (from->has_cpu_percent && !from->cpu_percent) ||
        (from->has_link_bytes_per_second && !from->link_bytes_per_second) ||
        (from->has_threads && !from->threads)) {
        error_setg(errp, "haven: a number of the encoder's options is 0; "
                   "leave it out for the default");
        return false;
    }
    to->encoder_stages = from->has_stages ? (int)from->stages : 0;
    to->encoder_compression = from->has_compression ? (int)from->compression
                                                    : 0;
    to->encoder_block_bytes = from->block_bytes;
    to->encoder_cache_bytes = from->cache_bytes;
    to->encoder_cache_percent = from->cache_percent;
    to->encoder_cpu_percent = from->cpu_percent;
    to->encoder_link_bytes_per_second = from->link_bytes_per_second;
    to->threads = from->threads;
    to->share = from->has_share && from->share;
    return true;
}

void qmp_haven_start(const char *guest, const char *host, const char *port,
                     bool has_interval_ms, uint32_t interval_ms,
                     bool has_deadline_ms, uint32_t deadline_ms,
                     bool has_on_backup_loss, HavenBackupLoss on_backup_loss,
                     bool has_arbiter, const char *arbiter,
                     bool has_start_wait, uint32_t start_wait,
                     bool has_on_start, HavenOnStart on_start,
                     bool has_encoder, HavenEncoder *encoder, Error **errp)
{
    struct haven_options options;

    if (!haven_options_init(&options, guest, host, port,
                            has_arbiter ? arbiter : NULL,
                            has_on_start ? (int)on_start : -1, errp)) {
        return;
    }
    if (has_interval_ms) {
        options.interval_ms = interval_ms;
    }
    if (has_deadline_ms) {
        options.deadline_ms = deadline_ms;
    }
    if (has_on_backup_loss) {
        options.on_backup_loss = (int)on_backup_loss;
    }
    if (has_start_wait) {
        options.start_wait_s = start_wait;
    }
    if (has_encoder && !read_encoder(encoder, &options, errp)) {
        return;
    }
    haven_guest_start(&options, errp);
}

void qmp_haven_stop(Error **errp)
{
    haven_guest_stop(HAVEN_STOP_UNPROTECT, errp);
}

void qmp_haven_adopt(Error **errp)
{
    haven_gate_decide(true, errp);
}

void qmp_haven_discard(Error **errp)
{
    haven_gate_decide(false, errp);
}

HavenStatus *qmp_query_haven(Error **errp)
{
    HavenStatus *r = g_new0(HavenStatus, 1);
    struct haven_status s;

    haven_guest_query(&s);
    r->state = s.state;
    r->has_message = s.reason[0];
    r->message = r->has_message ? g_strdup(s.reason) : NULL;
    r->has_newer = s.newer[0];
    r->newer = r->has_newer ? g_strdup(s.newer) : NULL;
#define COPY_FIGURE(name, unit, meaning) r->name = s.name;
    HAVEN_STATUS_FIGURES(COPY_FIGURE)
#undef COPY_FIGURE
    return r;
}
