/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine as text: what a guest can see of it, one line "THING = VALUE" or
 * "THING PROPERTY = VALUE" each, sorted.  Two device models that can run the same
 * guest say the same, however they were started: nothing of the host is in it, no
 * id, and nothing that changes while the guest runs.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-haven.h"
#include "qapi/qmp/qbool.h"
#include "qapi/qmp/qdict.h"
#include "qapi/qmp/qlist.h"
#include "qapi/qmp/qnum.h"
#include "qapi/qmp/qstring.h"
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
#include "hw/pci/pci.h"
#include "hw/pci/pci_host.h"
#include "hw/qdev-properties.h"
#include "hw/qdev-properties-system.h"
#include "net/net.h"
#include "qom/qom-qobject.h"
#include "sysemu/block-backend.h"
#include "sysemu/cpu-timers.h"
#include "sysemu/numa.h"
#include "sysemu/sysemu.h"
#include "haven-int.h"

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

/* Files of fw_cfg that never change. */
static const char *const fixed_files[] = {
    "bootsplash", "etc/boot-", "etc/e820", "etc/smbios/", "opt/",
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

static bool is_of_guest(const char *property)
{
    return !is_in(property, host_properties, ARRAY_SIZE(host_properties)) &&
        !is_in(property, other_properties, ARRAY_SIZE(other_properties));
}

/* --- Lines ---------------------------------------------------------------- */

/* @property: NULL: of the thing itself. */
static void say(GPtrArray *lines, const char *thing, const char *property,
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

static void say_number(GPtrArray *lines, const char *thing,
                       const char *property, uint64_t value)
{
    g_autofree char *text = g_strdup_printf("%" PRIu64, value);

    say(lines, thing, property, text);
}

static void say_if(GPtrArray *lines, const char *thing, const char *property,
                   bool value)
{
    say(lines, thing, property, value ? "on" : "off");
}

static char *scalar_text(QObject *value)
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

    if (!is_of_guest(property)) {
        return;
    }
    if (!members) {
        text = scalar_text(value);
        if (text) {
            say(lines, thing, property, text);
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

static void say_property(GPtrArray *lines, const char *thing, Object *obj,
                         const char *property)
{
    QObject *value = object_property_get_qobject(obj, property, NULL);

    if (value) {
        say_object(lines, thing, property, value);
        qobject_unref(value);
    }
}

static int compare_lines(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* --- Devices ---------------------------------------------------------------- */

static void say_drive(GPtrArray *lines, const char *property, BlockBackend *blk)
{
    g_autofree char *bytes = g_strdup_printf("%s.bytes", property);
    g_autofree char *read_only = g_strdup_printf("%s.read-only", property);
    int64_t length = 0;
    AioContext *ctx;

    if (!blk) {
        say(lines, "", property, "none");
        return;
    }
    ctx = blk_get_aio_context(blk);
    aio_context_acquire(ctx);
    if (blk_is_inserted(blk)) {
        length = blk_getlength(blk);
    }
    say_number(lines, "", bytes, MAX(length, 0));
    say_if(lines, "", read_only, !blk_supports_write_perm(blk));
    aio_context_release(ctx);
}

static void say_peer(GPtrArray *lines, const char *property,
                     const NICPeers *peers)
{
    g_autofree char *header = g_strdup_printf("%s.vnet_hdr", property);
    g_autofree char *ufo = g_strdup_printf("%s.ufo", property);
    NetClientState *peer = peers->ncs[0];

    say(lines, "", property, peer ? "connected" : "none");
    if (peer) {
        say_if(lines, "", header, qemu_has_vnet_hdr(peer));
        say_if(lines, "", ufo, qemu_has_ufo(peer));
    }
}

static void say_static_property(GPtrArray *lines, DeviceState *dev,
                                Property *property)
{
    void *field = (char *)dev + property->offset;

    if (property->info == &qdev_prop_drive ||
        property->info == &qdev_prop_drive_iothread) {
        say_drive(lines, property->name, *(BlockBackend **)field);
    } else if (property->info == &qdev_prop_netdev) {
        say_peer(lines, property->name, field);
    } else if (property->info != &qdev_prop_chr &&
               property->info != &qdev_prop_audiodev &&
               property->info != &qdev_prop_link &&
               /* random, and new after each restart */
               !(property->info == &qdev_prop_uuid &&
                 object_dynamic_cast(OBJECT(dev), "vmgenid"))) {
        say_property(lines, "", OBJECT(dev), property->name);
    }
}

static void say_static_properties(GPtrArray *lines, DeviceState *dev)
{
    ObjectClass *class = object_get_class(OBJECT(dev));

    for (; class != object_class_by_name(TYPE_DEVICE);
         class = object_class_get_parent(class)) {
        Property *property = DEVICE_CLASS(class)->props_;

        for (; property && property->name; property++) {
            say_static_property(lines, dev, property);
        }
    }
    if (object_property_find(OBJECT(dev), "bootindex")) {
        say_property(lines, "", OBJECT(dev), "bootindex");
    }
}

/* Where it is, for buses whose devices have no property that says so. */
static void say_place(GPtrArray *lines, DeviceState *dev)
{
    g_autofree char *path = qdev_get_dev_path(dev);
    DeviceState *parent = dev->parent_bus ? dev->parent_bus->parent : NULL;
    g_autofree char *above = qdev_get_dev_path(parent);

    if (path && g_strcmp0(path, above) &&
        !object_dynamic_cast(OBJECT(dev), TYPE_PCI_DEVICE)) {
        say(lines, "", "place", path);
    }
}

static char *name_on_bus(DeviceState *dev)
{
    PCIDevice *pci = (PCIDevice *)object_dynamic_cast(OBJECT(dev),
                                                      TYPE_PCI_DEVICE);

    if (pci) {
        return g_strdup_printf("%02x.%x", PCI_SLOT(pci->devfn),
                               PCI_FUNC(pci->devfn));
    }
    if (object_dynamic_cast(OBJECT(dev), TYPE_PCI_HOST_BRIDGE)) {
        return g_strdup("pci");
    }
    return g_strdup(object_get_typename(OBJECT(dev)));
}

/* One device and what is on its buses; the lines lack its name. */
typedef struct Place {
    char *name;
    GPtrArray *lines;
    char *text;                 /* all lines */
} Place;

static void place_free(void *opaque)
{
    Place *place = opaque;

    g_free(place->name);
    g_free(place->text);
    g_ptr_array_free(place->lines, true);
    g_free(place);
}

static int compare_places(gconstpointer a, gconstpointer b)
{
    const Place *one = *(Place *const *)a, *other = *(Place *const *)b;
    int by_name = strcmp(one->name, other->name);

    return by_name ?: strcmp(one->text, other->text);
}

static GPtrArray *describe_device(DeviceState *dev);

static void add_place(GPtrArray *places, DeviceState *dev)
{
    Place *place;

    if (!dev->realized || object_dynamic_cast(OBJECT(dev), TYPE_CPU) ||
        object_dynamic_cast(OBJECT(dev), TYPE_HAVEN_PROTECT)) {
        return;
    }
    place = g_new0(Place, 1);
    place->name = name_on_bus(dev);
    place->lines = describe_device(dev);
    g_ptr_array_sort(place->lines, compare_lines);
    g_ptr_array_add(place->lines, NULL);
    place->text = g_strjoinv("\n", (char **)place->lines->pdata);
    g_ptr_array_set_size(place->lines, place->lines->len - 1);
    g_ptr_array_add(places, place);
}

/*
 * Devices of one name get numbers by what they are, so that the order in which
 * they were plugged does not matter.
 */
static void say_places(GPtrArray *lines, GPtrArray *places, const char *prefix)
{
    const char *name = NULL;
    unsigned number = 0;

    g_ptr_array_sort(places, compare_places);
    for (guint i = 0; i < places->len; i++) {
        Place *place = g_ptr_array_index(places, i);
        g_autofree char *suffix = NULL;

        number = name && !strcmp(name, place->name) ? number + 1 : 0;
        name = place->name;
        suffix = number ? g_strdup_printf("#%u", number) : g_strdup("");
        for (guint j = 0; j < place->lines->len; j++) {
            const char *line = g_ptr_array_index(place->lines, j);

            g_ptr_array_add(lines, g_strconcat(prefix, name, suffix, line,
                                               NULL));
        }
    }
    g_ptr_array_free(places, true);
}

static void say_bus(GPtrArray *lines, BusState *bus, const char *prefix)
{
    GPtrArray *places = g_ptr_array_new_with_free_func(place_free);
    BusChild *kid;

    QTAILQ_FOREACH(kid, &bus->children, sibling) {
        add_place(places, kid->child);
    }
    say_places(lines, places, prefix);
}

static GPtrArray *describe_device(DeviceState *dev)
{
    GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
    int number = dev->num_child_bus;
    BusState *bus;

    say(lines, "", NULL, object_get_typename(OBJECT(dev)));
    say_place(lines, dev);
    say_static_properties(lines, dev);
    /* The bus that was made last comes first. */
    QLIST_FOREACH(bus, &dev->child_bus, sibling) {
        g_autofree char *prefix = dev->num_child_bus > 1
            ? g_strdup_printf("/bus%d/", --number) : g_strdup("/");

        say_bus(lines, bus, prefix);
    }
    return lines;
}

static int add_top_device(Object *obj, void *opaque)
{
    DeviceState *dev = (DeviceState *)object_dynamic_cast(obj, TYPE_DEVICE);

    if (dev && (!dev->parent_bus || !dev->parent_bus->parent)) {
        add_place(opaque, dev);
    }
    return 0;
}

static void say_devices(GPtrArray *lines)
{
    GPtrArray *places = g_ptr_array_new_with_free_func(place_free);

    object_child_foreach_recursive(object_get_root(), add_top_device, places);
    say_places(lines, places, "");
}

/* --- vCPUs ------------------------------------------------------------------ */

static GHashTable *cpu_properties(CPUState *cpu)
{
    GHashTable *properties = g_hash_table_new_full(g_str_hash, g_str_equal,
                                                   g_free, g_free);
    ObjectPropertyIterator iter;
    ObjectProperty *property;

    object_class_property_iter_init(&iter, object_get_class(OBJECT(cpu)));
    while ((property = object_property_iter_next(&iter))) {
        QObject *value = is_of_guest(property->name) &&
            !strstart(property->type, "link<", NULL)
            ? object_property_get_qobject(OBJECT(cpu), property->name, NULL)
            : NULL;
        char *text = value ? scalar_text(value) : NULL;

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

        say(lines, thing, NULL, object_get_typename(OBJECT(cpu)));
        g_hash_table_iter_init(&iter, properties);
        while (g_hash_table_iter_next(&iter, &name, &value)) {
            if (!first || g_strcmp0(g_hash_table_lookup(first, name), value)) {
                say(lines, thing, name, value);
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
    say_number(lines, "cpus", NULL, count);
}

/* --- The machine, its memory, and what firmware is told --------------------- */

static void say_machine(GPtrArray *lines)
{
    MachineState *machine = current_machine;
    char uuid[UUID_FMT_LEN + 1];
    ObjectPropertyIterator iter;
    ObjectProperty *property;
    QemuOpts *rtc = qemu_find_opts_singleton("rtc");
    const char *base = qemu_opt_get(rtc, "base") ?: "utc";
    const char *clock = qemu_opt_get(rtc, "clock") ?: "host";

    say(lines, "machine", NULL, MACHINE_GET_CLASS(machine)->name);
    object_property_iter_init(&iter, OBJECT(machine));
    while ((property = object_property_iter_next(&iter))) {
        if (!strstart(property->type, "link<", NULL) &&
            !strstart(property->type, "child<", NULL)) {
            say_property(lines, "machine", OBJECT(machine), property->name);
        }
    }
    say(lines, "machine", "accelerator",
        object_get_typename(OBJECT(current_accel())));
    say_if(lines, "machine", "icount", icount_enabled());
    /* When a clock was started is in no state that the guest goes on from. */
    say(lines, "rtc", NULL, g_ascii_isdigit(*base) ? "date" : base);
    say(lines, "rtc", "clock", clock);
    qemu_uuid_unparse(&qemu_uuid, uuid);
    say(lines, "uuid", NULL, uuid);
    if (machine->numa_state) {
        for (int i = 0; i < machine->numa_state->num_nodes; i++) {
            g_autofree char *node = g_strdup_printf("numa/%d", i);

            say_number(lines, node, NULL,
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
        say_number(lines, thing, NULL, block->flags & RAM_RESIZEABLE
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
        say(lines, thing, NULL, what);
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

        say(lines, thing, NULL, digest);
    }
}

char *haven_machine_describe(void)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);

    say(lines, "qemu", NULL, QEMU_VERSION);
    say_machine(lines);
    say_cpus(lines);
    qemu_ram_foreach_block(say_memory, lines);
    say_devices(lines);
    say_firmware_files(lines);
    say_acpi_tables(lines);
    g_ptr_array_sort(lines, compare_lines);
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
