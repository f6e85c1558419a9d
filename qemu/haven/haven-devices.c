/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What becomes of each device of the guest in a checkpoint.  A device that
 * somebody can add to a guest has to be in the table: of others nobody knows
 * whether they can be saved while the guest goes on.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-haven.h"
#include "chardev/char.h"
#include "hw/core/cpu.h"
#include "hw/qdev-core.h"
#include "hw/virtio/virtio-bus.h"
#include "sysemu/block-backend.h"
#include "sysemu/haven-hooks.h"
#include "sysemu/xen.h"
#include "haven-int.h"
#include "haven-xen.h"

typedef struct Rule {
    const char *type;       /* "*" at its end: every type that begins so */
    const char *refused;    /* NULL: its state is saved; else why it is not */
    const char *instead;
} Rule;

#define UNSEEN "works on the guest's memory outside of the device model"
#define HARDWARE "is hardware, whose state cannot be saved"

/* The first that fits counts. */
static const Rule rules[] = {
    { "vhost-*", UNSEEN, "use the device without vhost" },
    { "ivshmem-*", UNSEEN, "remove it" },
    { "vfio-*", HARDWARE, "remove it" },
    { "scsi-block", HARDWARE, "use scsi-hd" },
    { "scsi-generic", HARDWARE, "remove it" },
    { "usb-host", HARDWARE, "remove it" },
    /* Its schedule is consistent only after the run state has changed. */
    { "pci-ehci-usb", "cannot be saved while the guest runs",
      "use qemu-xhci" },
    /* Its pre_save asserts that no request is queued. */
    { "lsi53c*", "cannot be saved while the guest uses it",
      "use virtio-scsi-pci or megasas" },
    { "virtio-mem-*", "changes the guest's memory while it runs",
      "remove it" },
    { "virtio-pmem-*", "has memory that is not replicated", "remove it" },
    { "nvdimm", "has memory that is not replicated", "remove it" },
    /* Disks and what they are plugged into */
    { "virtio-*" }, { "ide-hd" }, { "ide-cd" }, { "ide-cf" }, { "scsi-hd" },
    { "scsi-cd" }, { "floppy" }, { "usb-storage" }, { "megasas*" },
    { "piix3-ide*" }, { "ich9-ahci" },
    /* NICs */
    { "e1000*" }, { "rtl8139" }, { "vmxnet3" },
    /* PCI, memory, processors */
    { "pci-bridge*" }, { "pcie-root-port" }, { "pcie-pci-bridge" },
    { "ioh3420" }, { "x3130-upstream" }, { "xio3130-downstream" },
    { "i82801b11-bridge" }, { "pc-dimm" }, { TYPE_CPU },
    /* Displays, input, sound */
    { "VGA" }, { "secondary-vga" }, { "cirrus-vga" }, { "isa-cirrus-vga" },
    { "bochs-display" }, { "ramfb" }, { "qxl*" }, { "vmware-svga" },
    { "i8042" }, { "vmmouse" }, { "usb-tablet" }, { "usb-mouse" },
    { "usb-kbd" }, { "usb-wacom-tablet" }, { "intel-hda" },
    { "ich9-intel-hda" }, { "hda-*" }, { "AC97" }, { "ES1370" }, { "sb16" },
    { "adlib" }, { "gus" }, { "cs4231a" },
    /* USB */
    { "qemu-xhci" }, { "nec-usb-xhci" }, { "piix3-usb-uhci" },
    { "piix4-usb-uhci" }, { "ich9-usb-uhci*" }, { "pci-ohci" },
    { "usb-hub" }, { "usb-serial" },
    /* Ports, watchdogs and others */
    { "isa-serial" }, { "isa-parallel" }, { "isa-debugcon" },
    { "isa-debug-exit" }, { "isa-vga" }, { "isa-fdc" }, { "mc146818rtc" },
    { "pci-serial*" }, { "virtserialport" }, { "virtconsole" },
    { "i6300esb" }, { "ib700" }, { "pvpanic*" }, { "vmgenid" },
    { "vmcoreinfo" }, { "loader" }, { "xen-*" }, { "haven-protect" },
};

static bool rule_fits(Object *obj, const char *type)
{
    size_t length = strlen(type);

    if (type[length - 1] == '*') {
        return !strncmp(object_get_typename(obj), type, length - 1);
    }
    return object_dynamic_cast(obj, type) != NULL;
}

/* NULL: nobody can add or remove it, and it can be saved. */
static const Rule *find_rule(DeviceState *dev)
{
    static const Rule unknown = {
        "", "has not been tried with checkpoints",
        "use another one, or remove it"
    };

    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        if (rule_fits(OBJECT(dev), rules[i].type)) {
            return &rules[i];
        }
    }
    return DEVICE_GET_CLASS(dev)->user_creatable ? &unknown : NULL;
}

static int check_device(Object *obj, void *opaque)
{
    Error **errp = opaque;
    DeviceState *dev = (DeviceState *)object_dynamic_cast(obj, TYPE_DEVICE);
    const Rule *rule = dev && dev->realized ? find_rule(dev) : NULL;

    if (rule && rule->refused) {
        g_autofree char *path = object_get_canonical_path(obj);

        error_setg(errp, "haven: device %s (%s) %s; %s", path,
                   object_get_typename(obj), rule->refused, rule->instead);
        return 1;
    }
    return 0;
}

bool haven_devices_check(Error **errp)
{
    return !object_child_foreach_recursive(object_get_root(), check_device,
                                           errp);
}

/* --- For people ----------------------------------------------------------- */

/* A virtio device on its transport, else the device itself. */
static DeviceState *function_of(DeviceState *dev)
{
    BusState *bus;
    BusChild *kid;

    QLIST_FOREACH(bus, &dev->child_bus, sibling) {
        kid = QTAILQ_FIRST(&bus->children);
        if (kid && object_dynamic_cast(OBJECT(bus), TYPE_VIRTIO_BUS)) {
            return kid->child;
        }
    }
    return dev;
}

/* What is behind its character device leaves us at once. */
static bool has_listener(DeviceState *dev)
{
    g_autofree char *label = NULL;
    Chardev *chr;

    if (!object_property_find(OBJECT(dev), "chardev")) {
        return false;
    }
    label = object_property_get_str(OBJECT(dev), "chardev", NULL);
    chr = label ? qemu_chr_find(label) : NULL;
    return chr && strcmp(object_get_typename(OBJECT(chr)), TYPE_CHARDEV_NULL);
}

static void describe(HavenDevice *device, DeviceState *dev, const Rule *rule)
{
    BlockBackend *blk = blk_by_dev(dev);
    const char *why = NULL;

    if (rule && rule->refused) {
        device->coverage = HAVEN_COVERAGE_REFUSED;
        device->why = g_strdup_printf("it %s; %s", rule->refused,
                                      rule->instead);
        device->has_why = true;
        return;
    }
    if (blk && blk_bs(blk) && blk_is_writable(blk)) {
        device->coverage = HAVEN_COVERAGE_REPLICATED;
    } else if (object_property_find(OBJECT(dev), "netdev")) {
        device->coverage = HAVEN_COVERAGE_HELD;
    } else if (has_listener(dev)) {
        device->coverage = HAVEN_COVERAGE_NOT_HELD;
        why = "what the guest writes there leaves at once";
    } else {
        device->coverage = HAVEN_COVERAGE_SAVED;
        if (blk) {
            why = blk_bs(blk) ? "its medium is read-only: the backup uses its own"
                              : "it has no medium";
        }
    }
    device->has_why = why != NULL;
    device->why = g_strdup(why);
}

static int list_device(Object *obj, void *opaque)
{
    HavenDeviceList ***tail = opaque;
    DeviceState *dev = (DeviceState *)object_dynamic_cast(obj, TYPE_DEVICE);
    const Rule *rule = dev && dev->realized ? find_rule(dev) : NULL;
    HavenDevice *device;

    /* What a transport carries is said with the transport. */
    if (!rule || object_dynamic_cast(obj, TYPE_CPU) ||
        (dev->parent_bus &&
         object_dynamic_cast(OBJECT(dev->parent_bus), TYPE_VIRTIO_BUS))) {
        return 0;
    }
    device = g_new0(HavenDevice, 1);
    device->path = dev->id ? g_strdup(dev->id)
                           : object_get_canonical_path(obj);
    device->type = g_strdup(object_get_typename(obj));
    describe(device, function_of(dev), rule);
    QAPI_LIST_APPEND(*tail, device);
    return 0;
}

HavenCheck *qmp_query_haven_check(Error **errp)
{
    HavenCheck *check = g_new0(HavenCheck, 1);
    HavenDeviceList **tail = &check->devices;
    Error *err = NULL;

    object_child_foreach_recursive(object_get_root(), list_device, &tail);
    if (xen_enabled()) {
        haven_domain_list(&tail);
    }
    /* One that is protected has passed it, and blocks itself. */
    if (haven_change_allowed("check it", NULL) && !haven_check_guest(&err)) {
        check->has_refused = true;
        check->refused = g_strdup(error_get_pretty(err));
        error_free(err);
    }
    return check;
}
