/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "-device haven-protect,host=...": protects the guest from its start, as
 * haven-start does later.  For xl.cfg, whose device_model_args is all that a
 * guest's configuration can tell its device model.
 *
 * It is no hardware, and the guest does not see it.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-types-haven.h"
#include "qapi/qmp/qerror.h"
#include "qapi/util.h"
#include "hw/qdev-core.h"
#include "hw/qdev-properties.h"
#include "qemu/error-report.h"
#include "qemu/timer.h"
#include "sysemu/runstate.h"
#include "sysemu/sysemu.h"
#include "sysemu/xen.h"
#include "haven-int.h"
#include "haven-xen.h"

OBJECT_DECLARE_SIMPLE_TYPE(HavenProtect, HAVEN_PROTECT)

QEMU_BUILD_BUG_ON((int)ON_OFF_AUTO_ON != HAVEN_PREDICT_YES);
QEMU_BUILD_BUG_ON((int)ON_OFF_AUTO_OFF != HAVEN_PREDICT_NO);

struct HavenProtect {
    DeviceState parent;
    char *guest, *host, *port;
    char *on_backup_loss, *arbiter;
    char *on_start;
    uint32_t deadline_ms, start_wait, lag_limit_ms;
    char *mode_name;
    OnOffAuto predict;
    struct haven_mode mode;     /* but for its name */
    char *encoder, *compression;
    uint64_t cache_bytes, output_limit_bytes;
    uint32_t block_bytes, cache_percent, encoder_cpu, encoder_threads;
    bool share;
    VMChangeStateEntry *running;
    QEMUTimer *created;         /* under Xen: asks whether it is */
    unsigned int asked;
};

/* xl starts the device model, and the guest in it, before it has done. */
#define ASK_MS 100
#define ASK_TIMES 600

/* A property that is not set is as one that is empty. */
static const char *given(const char *text)
{
    return text && *text ? text : NULL;
}

static bool require(const char *name, const char *text, Error **errp)
{
    if (!given(text)) {
        error_setg(errp, QERR_MISSING_PARAMETER, name);
        return false;
    }
    return true;
}

/* @value stays what it is if there is no @text. */
static bool read_enum(const char *name, const char *text,
                      const QEnumLookup *lookup, int *value, Error **errp)
{
    int read;

    if (!given(text)) {
        return true;
    }
    read = qapi_enum_parse(lookup, text, -1, NULL);
    if (read < 0) {
        error_setg(errp, "Parameter '%s' does not accept value '%s'", name,
                   text);
        return false;
    }
    *value = read;
    return true;
}

/* As haven-start does it: errors, too, have the names of its arguments. */
static bool start(const HavenProtect *h, Error **errp)
{
    const char *guest = h->guest ? h->guest : qemu_get_vm_name();
    int on_backup_loss = HAVEN_LOSS_CONTINUE, on_start = -1;
    int stages = 0, compression = 0, mode_name = -1;
    struct haven_mode mode = h->mode;
    struct haven_options options;

    if (!require("guest", guest, errp) ||
        !require("host", h->host, errp) ||
        !require("port", h->port, errp) ||
        !read_enum("on-backup-loss", h->on_backup_loss,
                   &HavenBackupLoss_lookup, &on_backup_loss, errp) ||
        !read_enum("mode", h->mode_name, &HavenModeName_lookup, &mode_name,
                   errp) ||
        !read_enum("on-start", h->on_start, &HavenOnStart_lookup, &on_start,
                   errp) ||
        !read_enum("stages", h->encoder, &HavenEncoderStages_lookup, &stages,
                   errp) ||
        !read_enum("compression", h->compression,
                   &HavenEncoderCompression_lookup, &compression, errp) ||
        !haven_options_init(&options, guest, h->host, h->port,
                            given(h->arbiter), on_start, errp)) {
        return false;
    }
    mode.size = sizeof(mode);
    mode.mode = mode_name + HAVEN_MODE_REMUS;
    mode.predict = (int)h->predict;
    options.mode = &mode;
    options.deadline_ms = h->deadline_ms ?: options.deadline_ms;
    options.start_wait_s = h->start_wait ?: options.start_wait_s;
    options.on_backup_loss = on_backup_loss;
    options.output_limit_bytes = h->output_limit_bytes;
    options.lag_limit_ms = h->lag_limit_ms;
    options.encoder_stages = stages;
    options.encoder_compression = compression;
    options.encoder_block_bytes = h->block_bytes;
    options.encoder_cache_bytes = h->cache_bytes;
    options.encoder_cache_percent = h->cache_percent;
    options.encoder_cpu_percent = h->encoder_cpu;
    options.threads = h->encoder_threads;
    options.share = h->share;
    return haven_guest_start(&options, errp);
}

static void protect(HavenProtect *h)
{
    Error *err = NULL;

    if (!start(h, &err)) {
        /* The guest is there, and protecting it is not worth losing it. */
        error_report("haven-protect: the guest is not protected: %s",
                     error_get_pretty(err));
        error_free(err);
    }
}

static void protect_when_created(void *opaque)
{
    HavenProtect *h = opaque;

    if (xen_enabled() && !haven_domain_created() && h->asked++ < ASK_TIMES) {
        if (!h->created) {
            h->created = timer_new_ms(QEMU_CLOCK_REALTIME,
                                      protect_when_created, h);
        }
        timer_mod(h->created,
                  qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + ASK_MS);
        return;
    }
    if (h->created) {
        timer_free(h->created);
        h->created = NULL;
    }
    protect(h);
}

/* Not before the guest runs: what is restored into it must not be protected. */
static void state_changed(void *opaque, bool running, RunState state)
{
    HavenProtect *h = opaque;

    if (running && h->running) {
        qemu_del_vm_change_state_handler(h->running);
        h->running = NULL;
        haven_run_on_main(NULL, protect_when_created, h);
    }
}

static void haven_protect_realize(DeviceState *dev, Error **errp)
{
    HavenProtect *h = HAVEN_PROTECT(dev);

    if (!h->host || !h->port) {
        error_setg(errp, "haven-protect needs host= and port= of the backup's "
                   "havend");
        return;
    }
    if (!h->guest && !qemu_get_vm_name()) {
        error_setg(errp, "haven-protect needs guest=, the guest's name in the "
                   "backup's configuration, since this guest has no -name");
        return;
    }
    h->running = qemu_add_vm_change_state_handler(state_changed, h);
}

static Property haven_protect_properties[] = {
    DEFINE_PROP_STRING("guest", HavenProtect, guest),
    DEFINE_PROP_STRING("host", HavenProtect, host),
    DEFINE_PROP_STRING("port", HavenProtect, port),
    DEFINE_PROP_STRING("mode", HavenProtect, mode_name),
    DEFINE_PROP_UINT32("interval-ms", HavenProtect, mode.interval_ms, 0),
    DEFINE_PROP_UINT32("window-us", HavenProtect, mode.window_us, 0),
    DEFINE_PROP_UINT32("max-age-ms", HavenProtect, mode.max_age_ms, 0),
    DEFINE_PROP_UINT32("latency-us", HavenProtect, mode.latency_us, 0),
    DEFINE_PROP_UINT32("pause-us", HavenProtect, mode.pause_us, 0),
    DEFINE_PROP_UINT32("overhead-percent", HavenProtect,
                       mode.overhead_percent, 0),
    DEFINE_PROP_UINT32("in-flight", HavenProtect, mode.in_flight, 0),
    DEFINE_PROP_ON_OFF_AUTO("predict", HavenProtect, predict,
                            ON_OFF_AUTO_AUTO),
    DEFINE_PROP_UINT32("deadline-ms", HavenProtect, deadline_ms, 0),
    DEFINE_PROP_STRING("on-backup-loss", HavenProtect, on_backup_loss),
    DEFINE_PROP_STRING("arbiter", HavenProtect, arbiter),
    DEFINE_PROP_STRING("on-start", HavenProtect, on_start),
    DEFINE_PROP_UINT32("start-wait", HavenProtect, start_wait, 0),
    DEFINE_PROP_SIZE("output-limit-bytes", HavenProtect, output_limit_bytes,
                     0),
    DEFINE_PROP_UINT32("lag-limit-ms", HavenProtect, lag_limit_ms, 0),
    DEFINE_PROP_STRING("encoder", HavenProtect, encoder),
    DEFINE_PROP_STRING("compression", HavenProtect, compression),
    DEFINE_PROP_UINT32("block-bytes", HavenProtect, block_bytes, 0),
    DEFINE_PROP_SIZE("cache-bytes", HavenProtect, cache_bytes, 0),
    DEFINE_PROP_UINT32("cache-percent", HavenProtect, cache_percent, 0),
    DEFINE_PROP_UINT32("encoder-cpu", HavenProtect, encoder_cpu, 0),
    DEFINE_PROP_UINT32("encoder-threads", HavenProtect, encoder_threads, 0),
    DEFINE_PROP_BOOL("share", HavenProtect, share, false),
    DEFINE_PROP_END_OF_LIST(),
};

static void haven_protect_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);

    dc->desc = "protects the guest with HAVEN from its start";
    dc->realize = haven_protect_realize;
    dc->hotpluggable = false;   /* there is haven-start */
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    device_class_set_props(dc, haven_protect_properties);
}

static const TypeInfo haven_protect_info = {
    .name = TYPE_HAVEN_PROTECT,
    .parent = TYPE_DEVICE,
    .instance_size = sizeof(HavenProtect),
    .class_init = haven_protect_class_init,
};

static void haven_protect_register(void)
{
    type_register_static(&haven_protect_info);
}

type_init(haven_protect_register)
