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
QEMU_BUILD_BUG_ON((int)HAVEN_STATE_VERIFYING != (int)HAVEN_VERIFYING);
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

QEMU_BUILD_BUG_ON((int)HAVEN_MODE_NAME_REMUS + HAVEN_MODE_REMUS !=
                  (int)HAVEN_MODE_REMUS);
QEMU_BUILD_BUG_ON((int)HAVEN_MODE_NAME_KEMARI + HAVEN_MODE_REMUS !=
                  (int)HAVEN_MODE_KEMARI);
QEMU_BUILD_BUG_ON((int)HAVEN_MODE_NAME_ADAPTIVE + HAVEN_MODE_REMUS !=
                  (int)HAVEN_MODE_ADAPTIVE);

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

/* What was not given stays 0: as it is. */
static bool read_mode(const HavenMode *from, struct haven_mode *to,
                      Error **errp)
{
    if ((from->has_interval_ms && !from->interval_ms) ||
        (from->has_window_us && !from->window_us) ||
        (from->has_max_age_ms && !from->max_age_ms) ||
        (from->has_latency_us && !from->latency_us) ||
        (from->has_pause_us && !from->pause_us) ||
        (from->has_overhead_percent && !from->overhead_percent) ||
        (from->has_in_flight && !from->in_flight)) {
        error_setg(errp, "haven: a setting of the mode is 0; leave it out to "
                   "keep it as it is");
        return false;
    }
    *to = (struct haven_mode) {
        .size = sizeof(*to),
        .mode = from->has_mode ? (int)from->mode + HAVEN_MODE_REMUS
                               : HAVEN_MODE_AS_IT_IS,
        .interval_ms = from->interval_ms,
        .window_us = from->window_us,
        .max_age_ms = from->max_age_ms,
        .latency_us = from->latency_us,
        .pause_us = from->pause_us,
        .overhead_percent = from->overhead_percent,
        .in_flight = from->in_flight,
        .predict = !from->has_predict ? HAVEN_PREDICT_AS_IT_IS :
                   from->predict ? HAVEN_PREDICT_YES : HAVEN_PREDICT_NO,
    };
    return true;
}

void qmp_haven_start(HavenStart *s, Error **errp)
{
    struct haven_options options;
    struct haven_mode mode;

    if (!haven_options_init(&options, s->guest, s->host, s->port,
                            s->has_arbiter ? s->arbiter : NULL,
                            s->has_on_start ? (int)s->on_start : -1, errp) ||
        !read_mode(qapi_HavenStart_base(s), &mode, errp) ||
        (s->has_encoder && !read_encoder(s->encoder, &options, errp))) {
        return;
    }
    if ((s->has_output_limit_bytes && !s->output_limit_bytes) ||
        (s->has_lag_limit_ms && !s->lag_limit_ms)) {
        error_setg(errp, "haven: a limit is 0; leave it out for the default");
        return;
    }
    options.mode = &mode;
    options.output_limit_bytes = s->output_limit_bytes;
    options.lag_limit_ms = s->lag_limit_ms;
    if (s->has_deadline_ms) {
        options.deadline_ms = s->deadline_ms;
    }
    if (s->has_on_backup_loss) {
        options.on_backup_loss = (int)s->on_backup_loss;
    }
    if (s->has_start_wait) {
        options.start_wait_s = s->start_wait;
    }
    haven_guest_start(&options, errp);
}

void qmp_haven_set(HavenMode *settings, Error **errp)
{
    struct haven_mode mode;

    if (read_mode(settings, &mode, errp)) {
        haven_guest_set_mode(&mode, errp);
    }
}

void qmp_haven_stop(Error **errp)
{
    haven_guest_unprotect(errp);
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
    r->has_mode = s.mode[0];
    r->mode = r->has_mode ? g_strdup(s.mode) : NULL;
    r->has_mode_settings = s.mode_settings[0];
    r->mode_settings = r->has_mode_settings ? g_strdup(s.mode_settings) : NULL;
    r->has_run_state = s.run_state[0];
    r->run_state = r->has_run_state ? g_strdup(s.run_state) : NULL;
#define COPY_FIGURE(name, unit, meaning) r->name = s.name;
    HAVEN_STATUS_FIGURES(COPY_FIGURE)
#undef COPY_FIGURE
    return r;
}
