/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IDE between a command and the start of its DMA.
 *
 * Saving an IDE bus there marks the command in the bus itself for a retry, which
 * happens when the saved guest starts.  The device model expects that the guest
 * that was saved runs no more, or is stopped and continued.  Ours runs on: a mark
 * that stays would be saved with every later checkpoint, and a failover repeat a
 * command of long ago.
 */
#include "qemu/osdep.h"
#include "hw/ide/pci.h"
#include "haven-int.h"

static int add_buses(Object *object, void *opaque)
{
    PCIIDEState *ide = (PCIIDEState *)object_dynamic_cast(object, TYPE_PCI_IDE);

    for (size_t i = 0; ide && i < ARRAY_SIZE(ide->bus); i++) {
        g_ptr_array_add(opaque, &ide->bus[i]);
    }
    return 0;
}

/* These controllers are never plugged in or out. */
GPtrArray *haven_ide_buses(void)
{
    GPtrArray *buses = g_ptr_array_new();

    object_child_foreach_recursive(object_get_root(), add_buses, buses);
    return buses;
}

/* What must be put back after the state was saved, to be freed with g_free(). */
int *haven_ide_remember(const GPtrArray *buses)
{
    int *marks = g_new(int, buses->len);

    for (guint i = 0; i < buses->len; i++) {
        marks[i] = ((IDEBus *)buses->pdata[i])->error_status;
    }
    return marks;
}

void haven_ide_put_back(const GPtrArray *buses, const int *marks)
{
    for (guint i = 0; i < buses->len; i++) {
        ((IDEBus *)buses->pdata[i])->error_status = marks[i];
    }
}
