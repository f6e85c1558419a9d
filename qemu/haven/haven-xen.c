/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest as a domain of Xen; see haven-xen.h. */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/rcu.h"
#include "qemu/units.h"
#include "cpu.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "exec/ramlist.h"
#include "hw/boards.h"
#include "hw/i386/x86.h"
#include "hw/xen/xen-x86.h"
#include "hw/xen/xen_common.h"
#include "migration/ram.h"
#include "haven-int.h"
#include "haven-xen.h"

#include <haven_xen.h>

/* Each try lets the guest run for a moment: in all some tens of milliseconds. */
#define PAUSE_TRIES 200
#define PAUSE_RETRY_US 100

struct HavenDomain {
    haven_xen *xen;
    MemoryListener listener;
    bool listening;             /* false while it tells what is there already */
    bool logging;
};

static int report(int ret, const struct haven_error *error)
{
    if (ret < 0) {
        error_report("haven: %s", error->message);
        return -EIO;
    }
    return 0;
}

/* --- Memory ------------------------------------------------------------- */

static void add_frames(GArray *list, hwaddr start, uint64_t bytes)
{
    struct haven_xen_frames frames = {
        .first = start >> TARGET_PAGE_BITS,
        .count = bytes >> TARGET_PAGE_BITS,
    };

    if (frames.count) {
        g_array_append_val(list, frames);
    }
}

static bool add_flat_range(Int128 start, Int128 len, const MemoryRegion *mr,
                           hwaddr offset_in_region, void *opaque)
{
    if (memory_region_is_ram((MemoryRegion *)mr)) {
        add_frames(opaque, int128_get64(start), int128_get64(len));
    }
    return false;
}

/* Where the domain's memory is, as far as we know it. */
static GArray *likely_frames(void)
{
    GArray *list = g_array_new(false, false, sizeof(struct haven_xen_frames));
    X86MachineState *x86ms = X86_MACHINE(qdev_get_machine());
    RAMBlock *block;

    add_frames(list, 0, x86ms->below_4g_mem_size);
    add_frames(list, 4 * GiB, x86ms->above_4g_mem_size);
    RCU_READ_LOCK_GUARD();
    flatview_for_each_range(address_space_to_flatview(&address_space_memory),
                            add_flat_range, list);
    /* A device's memory stays where it was allocated until it is mapped. */
    RAMBLOCK_FOREACH(block) {
        if (block->offset) {
            add_frames(list, block->offset, block->used_length);
        }
    }
    /* What the toolstack and the firmware use. */
    add_frames(list, 0xfe000000, 4 * GiB - 0xfe000000);
    return list;
}

static void region_changed(MemoryListener *listener,
                           MemoryRegionSection *section)
{
    HavenDomain *d = container_of(listener, HavenDomain, listener);
    struct haven_xen_frames frames = {
        .first = section->offset_within_address_space >> TARGET_PAGE_BITS,
        .count = int128_get64(section->size) >> TARGET_PAGE_BITS,
    };

    if (d->listening && memory_region_is_ram(section->mr)) {
        haven_xen_moved(d->xen, &frames);
    }
}

bool haven_domain_created(void)
{
    return haven_xen_created(xen_domid);
}

void haven_domain_hold(bool hold)
{
    struct haven_error error;

    report(haven_xen_hold(xen_domid, hold, &error), &error);
}

HavenDomain *haven_domain_new(struct haven_region *region, Error **errp)
{
    g_autoptr(GArray) likely = likely_frames();
    struct haven_error error = { "" };
    haven_xen *xen;
    HavenDomain *d;

    xen = haven_xen_open(xen_domid, (struct haven_xen_frames *)likely->data,
                         likely->len, &error);
    if (!xen) {
        error_setg(errp, "haven: %s", error.message);
        return NULL;
    }
    d = g_new0(HavenDomain, 1);
    d->xen = xen;
    d->listener = (MemoryListener) {
        .name = "haven-xen",
        .region_add = region_changed,
        .region_del = region_changed,
        .priority = 20,
    };
    memory_listener_register(&d->listener, &address_space_memory);
    d->listening = true;
    haven_xen_region(d->xen, region);
    return d;
}

void haven_domain_free(HavenDomain *d)
{
    haven_domain_log(d, false);
    memory_listener_unregister(&d->listener);
    haven_xen_close(d->xen);
    g_free(d);
}

/* Our own writes to the guest's memory count, too. */
bool haven_domain_log(HavenDomain *d, bool on)
{
    struct haven_error error;

    if (on == d->logging) {
        return true;
    }
    d->logging = on;
    if (on) {
        memory_global_dirty_log_start(GLOBAL_DIRTY_MIGRATION);
    } else {
        memory_global_dirty_log_stop(GLOBAL_DIRTY_MIGRATION);
    }
    return report(haven_xen_set_dirty_log(d->xen, on, &error), &error) == 0;
}

int haven_domain_harvest(HavenDomain *d, uint64_t *bitmap, size_t words,
                         bool keep)
{
    struct haven_error error;

    return report(haven_xen_harvest_dirty(d->xen, bitmap, words, keep, &error),
                  &error);
}

uint64_t haven_domain_cpu_ns(HavenDomain *d)
{
    return haven_xen_cpu_ns(d->xen);
}

/* --- Pause and state ---------------------------------------------------- */

int haven_domain_pause(HavenDomain *d)
{
    struct haven_error error;

    if (haven_domain_suspended()) {
        /* Xen lets no request be in flight then; but some need no reply. */
        return xen_serve_io_requests() ? -EAGAIN : 0;
    }
    for (int i = 0; i < PAUSE_TRIES; i++) {
        if (report(haven_xen_pause(d->xen, &error), &error) < 0) {
            return -EIO;
        }
        if (!xen_serve_io_requests()) {
            return 0;
        }
        haven_domain_unpause(d);
        /* For the vCPUs to take their replies. */
        g_usleep(PAUSE_RETRY_US);
    }
    return -EAGAIN;
}

void haven_domain_unpause(HavenDomain *d)
{
    struct haven_error error;

    if (haven_domain_suspended()) {
        haven_domain_resume();
    } else {
        report(haven_xen_unpause(d->xen, &error), &error);
    }
}

void haven_domain_halt(HavenDomain *d)
{
    struct haven_error error;

    report(haven_xen_pause_for_good(d->xen, &error), &error);
}

int haven_domain_save(HavenDomain *d, const void *device_model, size_t bytes,
                      haven_buffer *out)
{
    struct haven_error error;

    return report(haven_xen_save_state(d->xen, device_model, bytes, out,
                                       &error), &error);
}
