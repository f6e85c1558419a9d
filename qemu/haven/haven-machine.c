/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine as text: what a guest can see of it, in sorted lines.  Two device
 * models that can run the same guest say the same, however they were started:
 * nothing of the host is in it, no id, and nothing that changes while the guest
 * runs.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-haven.h"
#include "qemu/accel.h"
#include "qemu/config-file.h"
#include "qemu/cutils.h"
#include "qemu/option.h"
#include "qemu/uuid.h"
#include "exec/cpu-common.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "hw/acpi/acpi.h"
#include "hw/boards.h"
#include "hw/core/cpu.h"
#include "hw/nvram/fw_cfg.h"
#include "qom/qom-qobject.h"
#include "sysemu/cpu-timers.h"
#include "sysemu/numa.h"
#include "sysemu/sysemu.h"
#include "haven-int.h"
#include "haven-machine.h"

/* Files of fw_cfg that never change. */
static const char *const fixed_files[] = {
    "bootsplash", "etc/boot-", "etc/e820", "etc/smbios/", "opt/",
};

/* --- vCPUs ------------------------------------------------------------- */

static GHashTable *cpu_properties(CPUState *cpu)
{
    GHashTable *properties = g_hash_table_new_full(g_str_hash, g_str_equal,
                                                   g_free, g_free);
    ObjectPropertyIterator iter;
    ObjectProperty *property;

    object_class_property_iter_init(&iter, object_get_class(OBJECT(cpu)));
    while ((property = object_property_iter_next(&iter))) {
        QObject *value = haven_is_of_guest(property->name) &&
            !strstart(property->type, "link<", NULL)
            ? object_property_get_qobject(OBJECT(cpu), property->name, NULL)
            : NULL;
        char *text = value ? haven_scalar_text(value) : NULL;

        if (text) {
            g_hash_table_insert(properties, g_strdup(property->name), text);
        }
        qobject_unref(value);
    }
    return properties;
}

/* Of the second vCPU and those after it, what the first does not have. */
static void say_cpus(GPtrArray *lines)
{
    GHashTable *first = NULL;
    unsigned count = 0;
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        g_autofree char *thing = g_strdup_printf("cpu/%u", count++);
        GHashTable *properties = cpu_properties(cpu);
        gpointer name, value;
        GHashTableIter iter;

        haven_say(lines, thing, NULL, object_get_typename(OBJECT(cpu)));
        g_hash_table_iter_init(&iter, properties);
        while (g_hash_table_iter_next(&iter, &name, &value)) {
            if (!first || g_strcmp0(g_hash_table_lookup(first, name), value)) {
                haven_say(lines, thing, name, value);
            }
        }
        if (first) {
            g_hash_table_unref(properties);
        } else {
            first = properties;
        }
    }
    if (first) {
        g_hash_table_unref(first);
    }
    haven_say_number(lines, "cpus", NULL, count);
}

/* --- The machine, its memory, and what firmware is told ---------------- */

static void say_machine(GPtrArray *lines)
{
    MachineState *machine = current_machine;
    char uuid[UUID_FMT_LEN + 1];
    ObjectPropertyIterator iter;
    ObjectProperty *property;
    QemuOpts *rtc = qemu_find_opts_singleton("rtc");
    const char *base = qemu_opt_get(rtc, "base") ?: "utc";
    const char *clock = qemu_opt_get(rtc, "clock") ?: "host";

    haven_say(lines, "machine", NULL, MACHINE_GET_CLASS(machine)->name);
    object_property_iter_init(&iter, OBJECT(machine));
    while ((property = object_property_iter_next(&iter))) {
        if (!strstart(property->type, "link<", NULL) &&
            !strstart(property->type, "child<", NULL)) {
            haven_say_property(lines, "machine", OBJECT(machine),
                               property->name);
        }
    }
    haven_say(lines, "machine", "accelerator",
              object_get_typename(OBJECT(current_accel())));
    haven_say_if(lines, "machine", "icount", icount_enabled());
    /* When a clock was started is in no state that the guest goes on from. */
    haven_say(lines, "rtc", NULL, g_ascii_isdigit(*base) ? "date" : base);
    haven_say(lines, "rtc", "clock", clock);
    qemu_uuid_unparse(&qemu_uuid, uuid);
    haven_say(lines, "uuid", NULL, uuid);
    if (machine->numa_state) {
        for (int i = 0; i < machine->numa_state->num_nodes; i++) {
            g_autofree char *node = g_strdup_printf("numa/%d", i);

            haven_say_number(lines, node, NULL,
                       machine->numa_state->nodes[i].node_mem);
        }
    }
}

static int say_memory(RAMBlock *block, void *opaque)
{
    GPtrArray *lines = opaque;
    g_autofree char *thing = g_strdup_printf("memory/%s", block->idstr);

    if (qemu_ram_is_migratable(block)) {
        /* How much is used of a block that grows is a part of the state. */
        haven_say_number(lines, thing, NULL, block->flags & RAM_RESIZEABLE
                   ? block->max_length : block->used_length);
    }
    return 0;
}

/* Reads the file as firmware would; the selection is put back. */
static char *digest_file(FWCfgState *fw_cfg, const FWCfgFile *file)
{
    MemoryRegion *port = &FW_CFG_IO(fw_cfg)->comb_iomem;
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    uint16_t entry = fw_cfg->cur_entry;
    uint32_t offset = fw_cfg->cur_offset;

    port->ops->write(port->opaque, 0, be16_to_cpu(file->select), 2);
    for (uint32_t i = 0; i < be32_to_cpu(file->size); i++) {
        guchar octet = port->ops->read(port->opaque, 1, 1);

        g_checksum_update(sum, &octet, 1);
    }
    fw_cfg->cur_entry = entry;
    fw_cfg->cur_offset = offset;
    return g_strdup_printf("%u bytes, sha256 %s", be32_to_cpu(file->size),
                           g_checksum_get_string(sum));
}

static bool is_fixed(const char *file)
{
    for (size_t i = 0; i < ARRAY_SIZE(fixed_files); i++) {
        if (strstart(file, fixed_files[i], NULL)) {
            return true;
        }
    }
    return false;
}

static void say_firmware_files(GPtrArray *lines)
{
    FWCfgState *fw_cfg = fw_cfg_find();
    uint32_t count = fw_cfg && object_dynamic_cast(OBJECT(fw_cfg),
                                                   TYPE_FW_CFG_IO)
        ? be32_to_cpu(fw_cfg->files->count) : 0;

    for (uint32_t i = 0; i < count; i++) {
        const FWCfgFile *file = &fw_cfg->files->f[i];
        g_autofree char *thing = g_strdup_printf("fw_cfg/%s", file->name);
        g_autofree char *what = is_fixed(file->name)
            ? digest_file(fw_cfg, file) : g_strdup("present");

        g_strdelimit(thing, " ", '_');
        haven_say(lines, thing, NULL, what);
    }
}

/* -acpitable; the others are made from what is said above. */
static void say_acpi_tables(GPtrArray *lines)
{
    unsigned count = 0;

    for (uint8_t *table = acpi_table_first(); table;
         table = acpi_table_next(table)) {
        g_autofree char *thing = g_strdup_printf("acpitable/%u", count++);
        g_autofree char *digest =
            g_compute_checksum_for_data(G_CHECKSUM_SHA256, table,
                                        acpi_table_len(table));

        haven_say(lines, thing, NULL, digest);
    }
}

char *haven_machine_describe(void)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);

    haven_say(lines, "qemu", NULL, QEMU_VERSION);
    say_machine(lines);
    say_cpus(lines);
    qemu_ram_foreach_block(say_memory, lines);
    haven_say_devices(lines);
    say_firmware_files(lines);
    say_acpi_tables(lines);
    g_ptr_array_sort(lines, haven_compare_lines);
    g_ptr_array_add(lines, g_strdup(""));
    g_ptr_array_add(lines, NULL);
    return g_strjoinv("\n", (char **)lines->pdata);
}

HavenMachine *qmp_query_haven_machine(Error **errp)
{
    HavenMachine *machine = g_new0(HavenMachine, 1);

    machine->description = haven_machine_describe();
    return machine;
}
