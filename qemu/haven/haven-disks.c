/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the disks of the guest and puts a filter over each. */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "block/block_int.h"
#include "hw/qdev-core.h"
#include "qemu/timer.h"
#include "sysemu/block-backend.h"
#include "sysemu/xen.h"
#include "haven-int.h"
#include "haven-xen.h"

/* A disk whose oldest request is younger than this does not hang. */
#define ANSWERS_MS 200
/* So often it is seen whether one that did has answered. */
#define LEFT_LOOK_MS 50

/* The device with an id: a transport's backend device has none of its own. */
static const char *device_id(DeviceState *dev)
{
    Object *obj = OBJECT(dev);

    for (; obj; obj = obj->parent) {
        dev = (DeviceState *)object_dynamic_cast(obj, TYPE_DEVICE);
        if (dev && dev->id) {
            return dev->id;
        }
    }
    return NULL;
}

/* Where the data of a disk is, to the last node: a file or device, or NULL. */
static char *disk_path(BlockDriverState *bs)
{
    while (bs && bdrv_primary_bs(bs)) {
        bs = bdrv_primary_bs(bs);
    }
    if (!bs || !bs->drv ||
        (strcmp(bs->drv->format_name, "file") &&
         strcmp(bs->drv->format_name, "host_device"))) {
        return NULL;
    }
    return realpath(bs->filename, NULL);
}

GPtrArray *haven_disk_paths(void)
{
    GPtrArray *paths = g_ptr_array_new_with_free_func(free);
    BlockBackend *blk;

    for (blk = blk_all_next(NULL); blk; blk = blk_all_next(blk)) {
        BlockDriverState *bs;
        char *path;

        if (!blk_bs(blk) || !blk_get_attached_dev(blk) ||
            !blk_supports_write_perm(blk)) {
            continue;
        }
        /* Also what is below: an overlay goes on from another disk's data. */
        for (bs = bdrv_skip_filters(blk_bs(blk)); bs;
             bs = bdrv_backing_chain_next(bs)) {
            path = disk_path(bs);
            if (path) {
                g_ptr_array_add(paths, path);
            }
        }
    }
    return paths;
}

static const char *disk_name(BlockBackend *blk, DeviceState *dev, Error **errp)
{
    g_autofree char *path = NULL;
    const char *name = blk_name(blk);

    if (name && *name) {
        return name;
    }
    name = haven_domain_disk_name(dev);
    if (!name) {
        name = device_id(dev);
    }
    if (!name) {
        path = object_get_canonical_path(OBJECT(dev));
        error_setg(errp, "haven: the disk of %s has no name; give the device "
                   "or its drive an id", path);
    }
    return name;
}

/*
 * A disk served by another thread may have raised an interrupt that the main
 * thread has not delivered when the checkpoint is cut.  (A PV disk has none
 * that the saved guest needs: it repeats the requests whose end it has not seen.)
 */
static bool check_thread(const char *name, BlockBackend *blk, DeviceState *dev,
                         Error **errp)
{
    BusState *bus;

    if (haven_domain_disk_name(dev)) {
        return true;
    }
    if (blk_get_aio_context(blk) != qemu_get_aio_context()) {
        goto refuse;
    }
    while (dev) {
        if (object_property_find(OBJECT(dev), "iothread") &&
            object_property_get_link(OBJECT(dev), "iothread", NULL)) {
            goto refuse;
        }
        bus = dev->parent_bus;
        dev = bus ? bus->parent : NULL;
    }
    return true;

refuse:
    error_setg(errp, "haven: disk %s is served by an iothread, which cannot "
               "be replicated; remove iothread= from its device", name);
    return false;
}

static bool name_is_taken(const HavenDisks *disks, const char *name)
{
    for (size_t i = 0; i < disks->count; i++) {
        if (!strcmp(disks->disk[i]->name, name)) {
            return true;
        }
    }
    return false;
}

static bool is_of(const HavenDisks *disks, const HavenDisk *disk)
{
    for (size_t i = 0; i < disks->count; i++) {
        if (disks->disk[i] == disk) {
            return true;
        }
    }
    return false;
}

static bool insert_one(HavenDisks *disks, BlockBackend *blk, Error **errp)
{
    BlockDriverState *node = blk_bs(blk);
    DeviceState *dev = blk_get_attached_dev(blk);
    const char *name = disk_name(blk, dev, errp);
    HavenDisk *disk;
    int64_t bytes;

    if (!name || !check_thread(name, blk, dev, errp)) {
        return false;
    }
    if (name_is_taken(disks, name)) {
        error_setg(errp, "haven: two disks are named %s; give one of them "
                   "another id", name);
        return false;
    }
    aio_context_acquire(blk_get_aio_context(blk));
    bytes = bdrv_getlength(node);
    aio_context_release(blk_get_aio_context(blk));
    if (bytes < 0) {
        error_setg_errno(errp, -bytes, "haven: cannot get the size of disk %s",
                         name);
        return false;
    }

    disk = g_new0(HavenDisk, 1);
    disk->name = g_strdup(name);
    disk->path = disk_path(node);
    disk->bytes = bytes;
    disk->index = disks->count;
    if (!haven_block_insert(disk, node, errp)) {
        g_free(disk->name);
        free(disk->path);
        g_free(disk);
        return false;
    }
    disks->disk = g_renew(HavenDisk *, disks->disk, disks->count + 1);
    disks->disk[disks->count++] = disk;
    return true;
}

/* The guest may write to it. */
static bool is_written(BlockBackend *blk)
{
    DeviceState *dev = blk_get_attached_dev(blk);

    return blk_bs(blk) && dev && blk_is_writable(blk) &&
        !(xen_enabled() && haven_domain_disk_is_idle(dev));
}

bool haven_disks_covered(const HavenDisks *disks, Error **errp)
{
    BlockBackend *blk;

    for (blk = blk_all_next(NULL); blk; blk = blk_all_next(blk)) {
        if (is_written(blk) && !is_of(disks, haven_block_disk(blk_bs(blk)))) {
            error_setg(errp, "a disk of the guest has lost its filter: %s was "
                       "put in its place", bdrv_get_node_name(blk_bs(blk)));
            return false;
        }
    }
    return true;
}

static void free_disk(HavenDisk *disk)
{
    g_free(disk->name);
    free(disk->path);
    g_free(disk);
}

/* Removing the filter would wait for what is in it. */
static bool answers(const HavenDisk *disk)
{
    int64_t oldest_ms = haven_block_oldest_ms(disk);

    return oldest_ms < 0 ||
        qemu_clock_get_ms(QEMU_CLOCK_REALTIME) - oldest_ms < ANSWERS_MS;
}

static void remove_one(HavenDisk *disk)
{
    haven_copy_wait(disk);
    if (haven_block_remove(disk)) {
        free_disk(disk);
    }
}

/* Filters without a session, over disks that did not answer at its end. */
static GPtrArray *left;
static QEMUTimer *left_timer;

static void remove_those_left(void)
{
    for (size_t i = left ? left->len : 0; i-- > 0;) {
        HavenDisk *disk = g_ptr_array_index(left, i);

        if (!disk->filter && !disk->copying) {
            free_disk(disk);
        } else if (disk->filter && answers(disk)) {
            remove_one(disk);
        } else {
            continue;
        }
        g_ptr_array_remove_index(left, i);
    }
}

static void look_at_those_left(void *opaque)
{
    remove_those_left();
    if (left->len) {
        timer_mod(left_timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                  LEFT_LOOK_MS);
    }
}

static void leave(HavenDisk *disk)
{
    if (!left) {
        left = g_ptr_array_new();
        left_timer = timer_new_ms(QEMU_CLOCK_REALTIME, look_at_those_left,
                                  NULL);
    }
    haven_block_let_go(disk);
    g_ptr_array_add(left, disk);
    timer_mod(left_timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
              LEFT_LOOK_MS);
}

bool haven_disks_insert(HavenDisks *disks, Error **errp)
{
    BlockBackend *blk;

    remove_those_left();
    for (blk = blk_all_next(NULL); blk; blk = blk_all_next(blk)) {
        BlockDriverState *node = blk_bs(blk);

        if (!is_written(blk)) {
            continue;
        }
        /* Two devices may share a disk: the filter is above it for both. */
        if (is_of(disks, haven_block_disk(node))) {
            continue;
        }
        if (haven_block_disk(node) && haven_block_disk(node)->let_go) {
            error_setg(errp, "haven: disk %s has not answered requests of an "
                       "earlier session; protect the guest when it does",
                       haven_block_disk(node)->name);
            haven_disks_remove(disks);
            return false;
        }
        if (haven_block_disk(node)) {
            error_setg(errp, "haven: disk %s still has the filter of an "
                       "earlier session; restart the guest",
                       haven_block_disk(node)->name);
            haven_disks_remove(disks);
            return false;
        }
        if (!insert_one(disks, blk, errp)) {
            haven_disks_remove(disks);
            return false;
        }
    }
    return true;
}

void haven_disks_remove(HavenDisks *disks)
{
    for (size_t i = 0; i < disks->count; i++) {
        HavenDisk *disk = disks->disk[i];

        haven_copy_stop(disk);
        disk->session = NULL;
        haven_settle_forget_disk(disk);
        if (answers(disk)) {
            remove_one(disk);
        } else {
            leave(disk);
        }
    }
    g_free(disks->disk);
    *disks = (HavenDisks) { 0 };
}

void haven_disks_set_session(HavenDisks *disks, haven_session *session)
{
    for (size_t i = 0; i < disks->count; i++) {
        disks->disk[i]->session = session;
    }
}
