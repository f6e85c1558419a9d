/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Block filter "blkrep": sends each write of a disk to the backup and to the
 * node below at the same time and completes it when both have it.
 *
 * Requests that overlap are serialised, so that both sides apply them in the
 * same order.  FUA is not among the supported flags: the block layer then
 * follows the write with a flush, and ours reaches both sides.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/timer.h"
#include "block/aio.h"
#include "block/block_int.h"
#include "haven-int.h"

typedef struct HavenBlockState {
    HavenDisk *disk;
    Error *blocker;
} HavenBlockState;

static BlockDriver bdrv_blkrep;

static HavenDisk *disk_of(BlockDriverState *bs)
{
    HavenBlockState *s = bs->opaque;

    return s->disk;
}

/* --- Waiting for the library ------------------------------------------- */

void haven_wait_init(HavenWait *wait, BlockDriverState *bs)
{
    *wait = (HavenWait) { .ctx = bdrv_get_aio_context(bs) };
}

static void wait_done_bh(void *opaque)
{
    HavenWait *wait = opaque;

    wait->done = true;
    if (wait->waiter) {
        aio_co_wake(wait->waiter);
    }
}

void haven_wait_done(void *opaque)
{
    HavenWait *wait = opaque;

    aio_bh_schedule_oneshot(wait->ctx, wait_done_bh, wait);
}

void coroutine_fn haven_wait_for(HavenWait *wait, int pending)
{
    if (!pending) {
        return;
    }
    while (!wait->done) {
        wait->waiter = qemu_coroutine_self();
        qemu_coroutine_yield();
    }
    wait->waiter = NULL;
}

/* --- Requests ---------------------------------------------------------- */

void haven_block_request_begin(HavenDisk *disk, HavenRequest *request)
{
    request->since_ms = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
    QTAILQ_INSERT_TAIL(&disk->active, request, next);
}

void haven_block_request_end(HavenDisk *disk, HavenRequest *request)
{
    QTAILQ_REMOVE(&disk->active, request, next);
    haven_settle_request_done(disk);
}

int64_t haven_block_oldest_ms(const HavenDisk *disk)
{
    const HavenRequest *oldest = QTAILQ_FIRST(&disk->active);

    return oldest ? oldest->since_ms : -1;
}

void coroutine_fn haven_block_lock_range(HavenDisk *disk, BlockReq *req,
                                         int64_t offset, int64_t bytes)
{
    qemu_co_mutex_lock(&disk->lock);
    reqlist_wait_all(&disk->requests, offset, bytes, &disk->lock);
    reqlist_init_req(&disk->requests, req, offset, bytes);
    qemu_co_mutex_unlock(&disk->lock);
}

void coroutine_fn haven_block_unlock_range(HavenDisk *disk, BlockReq *req)
{
    qemu_co_mutex_lock(&disk->lock);
    reqlist_remove_req(req);
    qemu_co_mutex_unlock(&disk->lock);
}

/*
 * The clusters that hold the range.  A format that zeroes a part of one may
 * free all of it, and must not do so while another part is being written.
 */
static void coroutine_fn lock_clusters(BlockDriverState *bs, BlockReq *req,
                                       int64_t offset, int64_t bytes)
{
    int64_t cluster = bs->bl.pdiscard_alignment;
    int64_t begin = QEMU_ALIGN_DOWN(offset, cluster);
    int64_t end = QEMU_ALIGN_UP(offset + bytes, cluster);

    haven_block_lock_range(disk_of(bs), req, begin, end - begin);
}

static int coroutine_fn blkrep_co_preadv(BlockDriverState *bs, int64_t offset,
                                         int64_t bytes, QEMUIOVector *qiov,
                                         BdrvRequestFlags flags)
{
    HavenDisk *disk = disk_of(bs);
    HavenRequest request;
    int ret;

    haven_block_request_begin(disk, &request);
    ret = bdrv_co_preadv(bs->backing, offset, bytes, qiov, flags);
    haven_block_request_end(disk, &request);
    return ret;
}

static int coroutine_fn blkrep_co_pwritev(BlockDriverState *bs, int64_t offset,
                                          int64_t bytes, QEMUIOVector *qiov,
                                          BdrvRequestFlags flags)
{
    HavenDisk *disk = disk_of(bs);
    HavenRequest request;
    HavenWait wait;
    BlockReq req;
    int pending = 0;
    int ret;

    haven_block_request_begin(disk, &request);
    haven_wait_init(&wait, bs);
    haven_block_lock_range(disk, &req, offset, bytes);
    if (disk->session) {
        pending = haven_disk_write(disk->session, disk->index, offset, bytes,
                                   qiov->iov, qiov->niov, 0,
                                   haven_wait_done, &wait);
    }
    ret = bdrv_co_pwritev(bs->backing, offset, bytes, qiov, flags);
    haven_wait_for(&wait, pending);
    haven_block_unlock_range(disk, &req);
    haven_block_request_end(disk, &request);
    return ret;
}

static int coroutine_fn blkrep_co_pwrite_zeroes(BlockDriverState *bs,
                                                int64_t offset, int64_t bytes,
                                                BdrvRequestFlags flags)
{
    HavenDisk *disk = disk_of(bs);
    HavenRequest request;
    HavenWait wait;
    BlockReq req;
    int pending = 0;
    int ret;

    haven_block_request_begin(disk, &request);
    haven_wait_init(&wait, bs);
    lock_clusters(bs, &req, offset, bytes);
    if (disk->session) {
        pending = haven_disk_zero(disk->session, disk->index, offset, bytes,
                                  !!(flags & BDRV_REQ_MAY_UNMAP),
                                  haven_wait_done, &wait);
    }
    ret = bdrv_co_pwrite_zeroes(bs->backing, offset, bytes, flags);
    haven_wait_for(&wait, pending);
    haven_block_unlock_range(disk, &req);
    haven_block_request_end(disk, &request);
    return ret;
}

static int coroutine_fn blkrep_co_pdiscard(BlockDriverState *bs,
                                           int64_t offset, int64_t bytes)
{
    HavenDisk *disk = disk_of(bs);
    HavenRequest request;
    BlockReq req;
    int ret;

    haven_block_request_begin(disk, &request);
    lock_clusters(bs, &req, offset, bytes);
    ret = haven_block_discard(disk, offset, bytes);
    haven_block_unlock_range(disk, &req);
    haven_block_request_end(disk, &request);
    return ret;
}

static int coroutine_fn blkrep_co_flush(BlockDriverState *bs)
{
    HavenDisk *disk = disk_of(bs);
    HavenRequest request;
    HavenWait wait;
    int pending = 0;
    int ret;

    /* The block layer flushes a node once more when it deletes it. */
    if (!bs->backing) {
        return 0;
    }
    if (!disk) {
        return bdrv_co_flush(bs->backing->bs);
    }
    haven_block_request_begin(disk, &request);
    haven_wait_init(&wait, bs);
    if (disk->session) {
        pending = haven_disk_flush(disk->session, disk->index,
                                   haven_wait_done, &wait);
    }
    ret = bdrv_co_flush(bs->backing->bs);
    haven_wait_for(&wait, pending);
    haven_block_request_end(disk, &request);
    return ret;
}

/* --- Graph ------------------------------------------------------------- */

/* The others come from the node. */
static void blkrep_refresh_limits(BlockDriverState *bs, Error **errp)
{
    bs->bl.pdiscard_alignment = MAX(bs->bl.pdiscard_alignment,
                                    HAVEN_DISCARD_ALIGNMENT);
}

/* It went with its disk, before it could be removed. */
static void blkrep_close(BlockDriverState *bs)
{
    HavenDisk *disk = disk_of(bs);

    if (disk) {
        disk->filter = NULL;
    }
}

static void blkrep_refresh_filename(BlockDriverState *bs)
{
    if (bs->backing) {
        pstrcpy(bs->exact_filename, sizeof(bs->exact_filename),
                bs->backing->bs->filename);
    }
}

/* Another writer below the filter would change the disk unseen. */
static void blkrep_child_perm(BlockDriverState *bs, BdrvChild *c,
                              BdrvChildRole role,
                              BlockReopenQueue *reopen_queue,
                              uint64_t perm, uint64_t shared,
                              uint64_t *nperm, uint64_t *nshared)
{
    bdrv_default_perms(bs, c, role, reopen_queue, perm, shared,
                       nperm, nshared);
    if (!QLIST_EMPTY(&bs->parents)) {
        *nperm |= BLK_PERM_CONSISTENT_READ;     /* the copier */
        *nshared &= ~(BLK_PERM_WRITE | BLK_PERM_RESIZE);
    }
}

static BlockDriver bdrv_blkrep = {
    .format_name                = "blkrep",
    .instance_size              = sizeof(HavenBlockState),

    .bdrv_co_preadv             = blkrep_co_preadv,
    .bdrv_co_pwritev            = blkrep_co_pwritev,
    .bdrv_co_pwrite_zeroes      = blkrep_co_pwrite_zeroes,
    .bdrv_co_pdiscard           = blkrep_co_pdiscard,
    .bdrv_co_flush              = blkrep_co_flush,
    .bdrv_close                 = blkrep_close,
    .bdrv_refresh_limits        = blkrep_refresh_limits,
    .bdrv_refresh_filename      = blkrep_refresh_filename,
    .bdrv_child_perm            = blkrep_child_perm,

    .is_filter                  = true,
    .filtered_child_is_backing  = true,
};

HavenDisk *haven_block_disk(BlockDriverState *bs)
{
    return bs->drv == &bdrv_blkrep ? disk_of(bs) : NULL;
}

static BlockDriverState *new_filter(HavenDisk *disk, BlockDriverState *node,
                                    Error **errp)
{
    BlockDriverState *bs;
    HavenBlockState *s;

    /* Without UNMAP the block layer drops discards before they reach us. */
    bs = bdrv_new_open_driver(&bdrv_blkrep, NULL, BDRV_O_RDWR |
                              (node->open_flags & BDRV_O_UNMAP), errp);
    if (!bs) {
        return NULL;
    }
    s = bs->opaque;
    s->disk = disk;
    error_setg(&s->blocker, "haven: disk %s is being replicated; "
               "run haven-stop first", disk->name);
    bs->implicit = true;        /* query-block goes on to show the disk */
    bs->never_freeze = true;    /* so that it can always be removed */
    bs->total_sectors = node->total_sectors;
    /* Else the node would find zeros of which the backup does not know. */
    bs->detect_zeroes = node->detect_zeroes;
    bs->supported_write_flags = BDRV_REQ_WRITE_UNCHANGED;
    /*
     * Not NO_FALLBACK: a local "not supported" would come after the backup
     * has zeroed the range.  A device asks for MAY_UNMAP whatever its disk's
     * discard= says.
     */
    bs->supported_zero_flags = BDRV_REQ_WRITE_UNCHANGED;
    if (node->open_flags & BDRV_O_UNMAP) {
        bs->supported_zero_flags |= BDRV_REQ_MAY_UNMAP &
            node->supported_zero_flags;
    }
    return bs;
}

bool haven_block_insert(HavenDisk *disk, BlockDriverState *node, Error **errp)
{
    AioContext *ctx = bdrv_get_aio_context(node);
    BlockDriverState *bs;
    HavenBlockState *s;
    int ret;

    qemu_co_mutex_init(&disk->lock);
    QLIST_INIT(&disk->requests);
    QTAILQ_INIT(&disk->active);
    bs = new_filter(disk, node, errp);
    if (!bs) {
        return false;
    }
    s = bs->opaque;

    aio_context_acquire(ctx);
    bdrv_drained_begin(node);
    ret = bdrv_append(bs, node, errp);
    if (ret >= 0) {
        bdrv_refresh_limits(bs, NULL, NULL);
    }
    bdrv_drained_end(node);
    if (ret < 0) {
        error_prepend(errp, "haven: cannot replicate disk %s: ", disk->name);
        error_free(s->blocker);
        bdrv_unref(bs);
        aio_context_release(ctx);
        return false;
    }
    bdrv_op_block_all(bs, s->blocker);
    bdrv_op_block_all(node, s->blocker);
    aio_context_release(ctx);
    disk->filter = bs;
    disk->node = node;
    return true;
}

static void unblock(HavenDisk *disk)
{
    HavenBlockState *s = disk->filter->opaque;

    bdrv_op_unblock_all(disk->node, s->blocker);
    bdrv_op_unblock_all(disk->filter, s->blocker);
    error_free(s->blocker);
    s->blocker = NULL;
}

void haven_block_let_go(HavenDisk *disk)
{
    disk->let_go = true;
    unblock(disk);
    bdrv_unref(disk->filter);
}

bool haven_block_remove(HavenDisk *disk)
{
    BlockDriverState *bs = disk->filter;
    HavenBlockState *s = bs->opaque;
    AioContext *ctx = bdrv_get_aio_context(bs);
    Error *err = NULL;
    int ret;

    aio_context_acquire(ctx);
    if (disk->let_go) {
        bdrv_ref(bs);
    } else {
        unblock(disk);
    }
    bdrv_ref(disk->node);
    bdrv_drained_begin(disk->node);
    ret = bdrv_drop_filter(bs, &err);
    if (ret < 0) {
        warn_reportf_err(err, "haven: the filter of disk %s stays, without "
                         "effect: ", disk->name);
    } else {
        s->disk = NULL;
    }
    bdrv_drained_end(disk->node);
    bdrv_unref(disk->node);
    bdrv_unref(bs);
    aio_context_release(ctx);
    return ret >= 0;
}
