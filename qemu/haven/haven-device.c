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
#include "qapi/qmp/dispatch.h"
#include "qapi/qmp/qdict.h"
#include "hw/qdev-core.h"
#include "hw/qdev-properties.h"
#include "monitor/monitor-internal.h"
#include "qemu/error-report.h"
#include "qemu/timer.h"
#include "sysemu/runstate.h"
#include "sysemu/sysemu.h"
#include "sysemu/xen.h"
#include "haven-int.h"
#include "haven-xen.h"

#define TYPE_HAVEN_PROTECT "haven-protect"
OBJECT_DECLARE_SIMPLE_TYPE(HavenProtect, HAVEN_PROTECT)

struct HavenProtect {
    DeviceState parent;
    char *guest, *host, *port;
    char *on_backup_loss, *arbiter;
    char *on_start;
    uint32_t interval_ms, deadline_ms, start_wait;
    char *encoder, *compression;
    uint64_t cache_bytes;
    uint32_t block_bytes, cache_percent, encoder_cpu, encoder_threads;
    bool share;
    VMChangeStateEntry *running;
    QEMUTimer *created;         /* under Xen: asks whether it is */
    unsigned int asked;
};

/* xl starts the device model, and the guest in it, before it has done. */
#define ASK_MS 100
#define ASK_TIMES 600

static void put_text(QDict *arguments, const char *key, const char *value)
{
    if (value && *value) {
        qdict_put_str(arguments, key, value);
    }
}

static void put_number(QDict *arguments, const char *key, uint64_t value)
{
    if (value) {
        qdict_put_int(arguments, key, value);
    }
}

static void put_encoder(QDict *arguments, const HavenProtect *h)
{
    QDict *encoder = qdict_new();

    put_text(encoder, "stages", h->encoder);
    put_text(encoder, "compression", h->compression);
    put_number(encoder, "block-bytes", h->block_bytes);
    put_number(encoder, "cache-bytes", h->cache_bytes);
    put_number(encoder, "cache-percent", h->cache_percent);
    put_number(encoder, "cpu-percent", h->encoder_cpu);
    put_number(encoder, "threads", h->encoder_threads);
    qdict_put_bool(encoder, "share", h->share);
    qdict_put(arguments, "encoder", encoder);
}

static void protect(void *opaque)
{
    HavenProtect *h = opaque;
    g_autoptr(QDict) request = qdict_new();
    QDict *arguments = qdict_new();
    QDict *answer;

    put_text(arguments, "guest", h->guest ? h->guest : qemu_get_vm_name());
    put_text(arguments, "host", h->host);
    put_text(arguments, "port", h->port);
    put_text(arguments, "on-backup-loss", h->on_backup_loss);
    put_text(arguments, "arbiter", h->arbiter);
    put_text(arguments, "on-start", h->on_start);
    put_number(arguments, "start-wait", h->start_wait);
    put_number(arguments, "interval-ms", h->interval_ms);
    put_number(arguments, "deadline-ms", h->deadline_ms);
    put_encoder(arguments, h);
    qdict_put_str(request, "execute", "haven-start");
    qdict_put(request, "arguments", arguments);

    answer = qmp_dispatch(&qmp_commands, QOBJECT(request), false, NULL);
    if (answer && qdict_haskey(answer, "error")) {
        /* The guest is there, and protecting it is not worth losing it. */
        error_report("haven-protect: the guest is not protected: %s",
                     qdict_get_str(qdict_get_qdict(answer, "error"), "desc"));
    }
    qobject_unref(answer);
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
    DEFINE_PROP_UINT32("interval-ms", HavenProtect, interval_ms, 0),
    DEFINE_PROP_UINT32("deadline-ms", HavenProtect, deadline_ms, 0),
    DEFINE_PROP_STRING("on-backup-loss", HavenProtect, on_backup_loss),
    DEFINE_PROP_STRING("arbiter", HavenProtect, arbiter),
    DEFINE_PROP_STRING("on-start", HavenProtect, on_start),
    DEFINE_PROP_UINT32("start-wait", HavenProtect, start_wait, 0),
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
