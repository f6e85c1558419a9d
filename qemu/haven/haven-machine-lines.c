/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lines that describe a machine, "THING = VALUE" or "THING PROPERTY = VALUE"
 * each, and which properties are in them.
 */
#include "qemu/osdep.h"
#include "qapi/qmp/qbool.h"
#include "qapi/qmp/qdict.h"
#include "qapi/qmp/qnum.h"
#include "qapi/qmp/qstring.h"
#include "qom/qom-qobject.h"
#include "haven-machine.h"

#define LONGEST_VALUE 256

/* What the host does with a device; the guest sees nothing of it. */
static const char *const host_properties[] = {
    "account-failed", "account-invalid", "cryptodev", "dump-guest-core",
    "dumpdtb", "dtb", "failover_pair_id", "firmware", "fsdev", "initrd",
    "iothread", "kernel", "mem-merge", "memory-backend", "pcap",
    "pcspk-audiodev", "pflash0", "pflash1", "rerror", "romfile", "share-rw",
    "suppress-vmdesc", "tpmdev", "werror",
};

/*
 * What changes while a guest runs, is guessed from what a disk has, or is said
 * otherwise.
 */
static const char *const other_properties[] = {
    "MCFG", "bios-chs-trans", "crash-information", "cyls", "heads",
    "hotpluggable", "hotplugged", "lcyls", "lheads", "lsecs", "realized",
    "rtc-time", "secs", "smb_io_base", "smp.cpus", "type",
    "unavailable-features",
};

static bool is_in(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(name, names[i])) {
            return true;
        }
    }
    return false;
}

bool haven_is_of_guest(const char *property)
{
    return !is_in(property, host_properties, ARRAY_SIZE(host_properties)) &&
        !is_in(property, other_properties, ARRAY_SIZE(other_properties));
}

void haven_say(GPtrArray *lines, const char *thing, const char *property,
               const char *value)
{
    GString *line = g_string_new(thing);
    g_autofree char *digest = NULL;

    if (property) {
        g_string_append_printf(line, " %s", property);
    }
    g_string_append(line, " = ");
    if (strlen(value) > LONGEST_VALUE) {
        digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, value, -1);
        g_string_append_printf(line, "%.64s... sha256 ", value);
        value = digest;
    }
    g_string_append(line, value);
    for (char *at = line->str; *at; at++) {
        if (*at < 0x20 || *at > 0x7e) {
            *at = '?';
        }
    }
    g_ptr_array_add(lines, g_string_free(line, false));
}

void haven_say_number(GPtrArray *lines, const char *thing,
                      const char *property, uint64_t value)
{
    g_autofree char *text = g_strdup_printf("%" PRIu64, value);

    haven_say(lines, thing, property, text);
}

void haven_say_if(GPtrArray *lines, const char *thing, const char *property,
                  bool value)
{
    haven_say(lines, thing, property, value ? "on" : "off");
}

char *haven_scalar_text(QObject *value)
{
    switch (qobject_type(value)) {
    case QTYPE_QBOOL:
        return g_strdup(qbool_get_bool(qobject_to(QBool, value)) ? "on"
                                                                 : "off");
    case QTYPE_QNUM:
        return qnum_to_string(qobject_to(QNum, value));
    case QTYPE_QSTRING:
        return g_strdup(qstring_get_str(qobject_to(QString, value)));
    default:
        return NULL;
    }
}

/* A structure's members are properties of their own. */
static void say_object(GPtrArray *lines, const char *thing,
                       const char *property, QObject *value)
{
    QDict *members = qobject_to(QDict, value);
    const QDictEntry *entry;
    g_autofree char *text = NULL;

    if (!haven_is_of_guest(property)) {
        return;
    }
    if (!members) {
        text = haven_scalar_text(value);
        if (text) {
            haven_say(lines, thing, property, text);
        }
        return;
    }
    for (entry = qdict_first(members); entry;
         entry = qdict_next(members, entry)) {
        g_autofree char *member = g_strdup_printf("%s.%s", property,
                                                  qdict_entry_key(entry));

        say_object(lines, thing, member, qdict_entry_value(entry));
    }
}

void haven_say_property(GPtrArray *lines, const char *thing, Object *obj,
                        const char *property)
{
    QObject *value = object_property_get_qobject(obj, property, NULL);

    if (value) {
        say_object(lines, thing, property, value);
        qobject_unref(value);
    }
}

int haven_compare_lines(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}
