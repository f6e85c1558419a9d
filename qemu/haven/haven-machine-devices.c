/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The devices of a machine as lines, named by where they are: by their address
 * on a PCI bus, else by their type, and by what they are on.
 */
#include "qemu/osdep.h"
#include "hw/core/cpu.h"
#include "hw/pci/pci.h"
#include "hw/pci/pci_host.h"
#include "hw/qdev-properties.h"
#include "hw/qdev-properties-system.h"
#include "net/net.h"
#include "sysemu/block-backend.h"
#include "haven-int.h"
#include "haven-machine.h"

static void say_drive(GPtrArray *lines, const char *property, BlockBackend *blk)
{
    g_autofree char *bytes = g_strdup_printf("%s.bytes", property);
    g_autofree char *read_only = g_strdup_printf("%s.read-only", property);
    int64_t length = 0;
    AioContext *ctx;

    if (!blk) {
        haven_say(lines, "", property, "none");
        return;
    }
    ctx = blk_get_aio_context(blk);
    aio_context_acquire(ctx);
    if (blk_is_inserted(blk)) {
        length = blk_getlength(blk);
    }
    haven_say_number(lines, "", bytes, MAX(length, 0));
    haven_say_if(lines, "", read_only, !blk_supports_write_perm(blk));
    aio_context_release(ctx);
}

static void say_peer(GPtrArray *lines, const char *property,
                     const NICPeers *peers)
{
    g_autofree char *header = g_strdup_printf("%s.vnet_hdr", property);
    g_autofree char *ufo = g_strdup_printf("%s.ufo", property);
    NetClientState *peer = peers->ncs[0];

    haven_say(lines, "", property, peer ? "connected" : "none");
    if (peer) {
        haven_say_if(lines, "", header, qemu_has_vnet_hdr(peer));
        haven_say_if(lines, "", ufo, qemu_has_ufo(peer));
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
        haven_say_property(lines, "", OBJECT(dev), property->name);
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
        haven_say_property(lines, "", OBJECT(dev), "bootindex");
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
        haven_say(lines, "", "place", path);
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
    g_ptr_array_sort(place->lines, haven_compare_lines);
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

    haven_say(lines, "", NULL, object_get_typename(OBJECT(dev)));
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

void haven_say_devices(GPtrArray *lines)
{
    GPtrArray *places = g_ptr_array_new_with_free_func(place_free);

    object_child_foreach_recursive(object_get_root(), add_top_device, places);
    say_places(lines, places, "");
}
