/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * First copy of a disk to the backup, while the guest runs: one coroutine a
 * disk, in the disk's AioContext.
 */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/memalign.h"
#include "qemu/units.h"
#include "block/aio-wait.h"
#include "block/block_int.h"
#include "haven-int.h"

/* Enough to hide the round trip; each is at most 256 KiB. */
#define COPIES_IN_FLIGHT 4
/* A drained section is short; there is no cheaper way to learn of its end. */
#define DRAINED_RETRY_NS (1 * SCALE_MS)

typedef struct HavenCopy {
    HavenDisk *disk;
    AioContext *ctx;
} HavenCopy;

static void copy_done_bh(void *opaque)
{
    HavenCopy *copy = opaque;
    HavenDisk *disk = copy->disk;

    g_free(copy);
    disk->copies_in_flight--;
    if (disk->copy_waiter) {
        aio_co_wake(disk->copy_waiter);
    }
}

/* Any thread. */
static void copy_done(void *opaque)
{
    HavenCopy *copy = opaque;

    aio_bh_schedule_oneshot(copy->ctx, copy_done_bh, copy);
}

static void coroutine_fn wait_for_copies(HavenDisk *disk, int at_most)
{
    while (disk->copies_in_flight > at_most) {
        disk->copy_waiter = qemu_coroutine_self();
        qemu_coroutine_yield();
        disk->copy_waiter = NULL;
    }
}

/* 1: data read; 0: all zeros; else -errno. */
static int coroutine_fn read_piece(HavenDisk *disk, uint64_t offset,
                                   uint64_t bytes, void *buf)
{
    QEMUIOVector qiov;
    int64_t known = 0;
    int ret;

    ret = bdrv_block_status_above(disk->node, NULL, offset, bytes, &known,
                                  NULL, NULL);
    if (ret >= 0 && (ret & BDRV_BLOCK_ZERO) && known >= bytes) {
        return 0;
    }
    qemu_iovec_init_buf(&qiov, buf, bytes);
    ret = bdrv_co_preadv(disk->filter->backing, offset, bytes, &qiov, 0);
    if (ret < 0) {
        return ret;
    }
    return !buffer_is_zero(buf, bytes);
}

/* Keeps guest writes out of the piece until the library has queued it. */
static void coroutine_fn copy_piece(HavenDisk *disk, uint64_t offset,
                                    uint64_t bytes, void *buf)
{
    HavenRequest request;
    HavenCopy *copy;
    BlockReq req;
    int ret;

    haven_block_request_begin(disk, &request);
    haven_block_lock_range(disk, &req, offset, bytes);
    ret = read_piece(disk, offset, bytes, buf);
    if (disk->copy_stop) {
        /* The session may have ended. */
    } else if (ret < 0) {
        haven_disk_copy_failed(disk->session, disk->index, offset, ret);
    } else {
        copy = g_new0(HavenCopy, 1);
        copy->disk = disk;
        copy->ctx = bdrv_get_aio_context(disk->filter);
        disk->copies_in_flight++;
        if (!haven_disk_copy(disk->session, disk->index, offset, bytes,
                             ret ? buf : NULL, copy_done, copy)) {
            disk->copies_in_flight--;
            g_free(copy);
        }
    }
    haven_block_unlock_range(disk, &req);
    haven_block_request_end(disk, &request);
}

static void coroutine_fn copy_co(void *opaque)
{
    HavenDisk *disk = opaque;
    BlockDriverState *bs = disk->filter;
    size_t size = 256 * KiB;
    void *buf = qemu_blockalign(bs, size);
    uint64_t offset, bytes;

    do {
        disk->copy_again = false;
        while (!disk->copy_stop) {
            /*
             * A drained section waits for what counts as in flight.  Begin
             * nothing inside it, and be counted while a range is locked: a
             * guest write that is drained may wait for that range.
             */
            if (qatomic_read(&bs->quiesce_counter)) {
                qemu_co_sleep_ns(QEMU_CLOCK_REALTIME, DRAINED_RETRY_NS);
                continue;
            }
            if (!haven_disk_next_copy(disk->session, disk->index, &offset,
                                      &bytes)) {
                break;
            }
            if (bytes > size) {
                haven_disk_copy_failed(disk->session, disk->index, offset,
                                       -EMSGSIZE);
                break;
            }
            bdrv_inc_in_flight(bs);
            copy_piece(disk, offset, bytes, buf);
            bdrv_dec_in_flight(bs);
            wait_for_copies(disk, COPIES_IN_FLIGHT - 1);
        }
        wait_for_copies(disk, 0);
    } while (disk->copy_again && !disk->copy_stop);

    qemu_vfree(buf);
    disk->copying = false;
    aio_wait_kick();
}

/* Its coroutine runs with this lock held, wherever that is. */
void haven_copy_start(HavenDisk *disk)
{
    AioContext *ctx = bdrv_get_aio_context(disk->filter);

    aio_context_acquire(ctx);
    if (disk->copying) {
        disk->copy_again = true;
    } else {
        disk->copying = true;
        disk->copy_stop = false;
        bdrv_coroutine_enter(disk->filter,
                             qemu_coroutine_create(copy_co, disk));
    }
    aio_context_release(ctx);
}

void haven_copy_stop(HavenDisk *disk)
{
    disk->copy_stop = true;
}

void haven_copy_wait(HavenDisk *disk)
{
    AioContext *ctx = bdrv_get_aio_context(disk->filter);

    aio_context_acquire(ctx);
    AIO_WAIT_WHILE(ctx, disk->copying);
    aio_context_release(ctx);
}
