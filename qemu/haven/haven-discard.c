/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the backup is told of a discard.
 *
 * A discard is a hint: a node does it, or a part of it, or nothing, and returns
 * the same.  The replica would do all of it.  So the node is asked afterwards,
 * and the backup discards what reads as zeros here: then it does so there too.
 */
#include "qemu/osdep.h"
#include "block/block_int.h"
#include "haven-int.h"

/*
 * The file, device or server that discards reach with no format in between;
 * NULL if there is a format, or a node on the way that ignores them.
 */
static BlockDriverState *leaf_below(BlockDriverState *bs)
{
    while (bs && bs->drv && (bs->open_flags & BDRV_O_UNMAP)) {
        if (bs->drv->protocol_name) {
            return bs;
        }
        if (bs->drv != &bdrv_raw && !bs->drv->is_filter) {
            return NULL;
        }
        bs = bdrv_primary_bs(bs);
    }
    return NULL;
}

/*
 * Nonzero if the range, whose length goes to @known, reads as zeros, or may
 * hold anything: a device cannot say what it has let go.
 */
static bool coroutine_fn is_gone(HavenDisk *disk, bool can_say, int64_t offset,
                                 int64_t bytes, int64_t *known)
{
    int ret = bdrv_block_status_above(disk->node, NULL, offset, bytes, known,
                                      NULL, NULL);

    if (ret < 0 || *known <= 0) {
        *known = bytes;
        return true;
    }
    return (ret & BDRV_BLOCK_ZERO) || !can_say;
}

static void coroutine_fn tell_backup(HavenDisk *disk, int64_t offset,
                                     int64_t bytes)
{
    HavenWait wait;
    int pending = 0;

    haven_wait_init(&wait, disk->filter);
    if (disk->session) {
        pending = haven_disk_discard(disk->session, disk->index, offset, bytes,
                                     haven_wait_done, &wait);
    }
    haven_wait_for(&wait, pending);
}

int coroutine_fn haven_block_discard(HavenDisk *disk, int64_t offset,
                                     int64_t bytes)
{
    BlockDriverState *leaf = leaf_below(disk->node);
    bool can_say = !leaf || !strcmp(leaf->drv->format_name, "file");
    int64_t end = offset + bytes;
    int64_t at, known;
    int ret;

    /* The rest of a block would stay allocated, but read as zeros. */
    if (!QEMU_IS_ALIGNED(offset | bytes, HAVEN_DISCARD_ALIGNMENT)) {
        return -ENOTSUP;
    }
    ret = bdrv_co_pdiscard(disk->filter->backing, offset, bytes);
    if (ret < 0 || !disk->session) {
        return ret;
    }
    /* A look at the file during the discard may have been remembered. */
    if (leaf) {
        bdrv_bsc_invalidate_range(leaf, 0, INT64_MAX);
    }
    /* From @offset to @at it is gone. */
    for (at = offset; at < end; at += known) {
        if (is_gone(disk, can_say, at, end - at, &known)) {
            continue;
        }
        if (at > offset) {
            tell_backup(disk, offset, at - offset);
        }
        offset = at + known;
    }
    if (end > offset) {
        tell_backup(disk, offset, end - offset);
    }
    return 0;
}
