/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Limits of a disk (throttling.* of its drive, or throttle nodes below the
 * filter).  A drained section lets all that waits for them go, and charges it:
 * so the debt is paid before the device takes on more.
 */
#include "qemu/osdep.h"
#include "block/block_int.h"
#include "block/throttle-groups.h"
#include "qemu/timer.h"
#include "sysemu/block-backend.h"
#include "sysemu/qtest.h"
#include "haven-int.h"

/* Calls @fn for whatever limits the disk. */
static void for_each_limit(HavenDisk *disk,
                           void (*fn)(ThrottleGroupMember *tgm, void *opaque),
                           void *opaque)
{
    BlockBackend *blk;
    BlockDriverState *bs;

    for (blk = blk_all_next(NULL); blk; blk = blk_all_next(blk)) {
        if (blk_bs(blk) == disk->filter) {
            fn(&blk_get_public(blk)->throttle_group_member, opaque);
        }
    }
    for (bs = disk->node; bs && bs->drv; bs = bdrv_primary_bs(bs)) {
        if (!strcmp(bs->drv->format_name, "throttle")) {
            fn(bs->opaque, opaque);
        }
    }
}

static void add_wait(ThrottleGroupMember *tgm, void *opaque)
{
    int64_t *most = opaque;
    int64_t now;
    ThrottleConfig cfg;

    if (!tgm->throttle_state) {
        return;
    }
    now = qemu_clock_get_ns(qtest_enabled() ? QEMU_CLOCK_VIRTUAL
                                            : QEMU_CLOCK_REALTIME);
    throttle_group_get_config(tgm, &cfg);
    for (int i = 0; i < BUCKETS_COUNT; i++) {
        LeakyBucket *bucket = &cfg.buckets[i];

        throttle_leak_bucket(bucket,
                             MAX(0, now - tgm->throttle_state->previous_leak));
        *most = MAX(*most, throttle_compute_wait(bucket));
    }
}

int64_t haven_throttle_wait_ns(HavenDisk *disk)
{
    int64_t wait = 0;

    for_each_limit(disk, add_wait, &wait);
    return wait;
}

static void add_pending(ThrottleGroupMember *tgm, void *opaque)
{
    bool *pending = opaque;

    *pending |= tgm->throttle_state &&
        (tgm->pending_reqs[0] || tgm->pending_reqs[1]);
}

bool haven_throttle_pending(HavenDisk *disk)
{
    bool pending = false;

    for_each_limit(disk, add_pending, &pending);
    return pending;
}

static void let_go(ThrottleGroupMember *tgm, void *opaque)
{
    if (qatomic_fetch_inc(&tgm->io_limits_disabled) == 0) {
        throttle_group_restart_tgm(tgm);
    }
}

static void limit_again(ThrottleGroupMember *tgm, void *opaque)
{
    qatomic_dec(&tgm->io_limits_disabled);
}

void haven_throttle_let_go(HavenDisk *disk)
{
    for_each_limit(disk, let_go, NULL);
    for_each_limit(disk, limit_again, NULL);
}
