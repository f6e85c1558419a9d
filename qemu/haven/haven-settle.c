/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Before a checkpoint the requests in flight finish while the guest runs on: a
 * flush of the host's disk takes longer than all else in a checkpoint, and a
 * disk that hangs never ends it.  Nothing here waits: the main loop goes on, and
 * the library is told when no request is in flight.
 *
 * Meanwhile virtio disks leave new requests in their queues, where the saved
 * guest has them; so they do while a disk owes to its limits.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "block/block_int.h"
#include "hw/virtio/virtio-blk.h"
#include "sysemu/block-backend.h"
#include "sysemu/haven-hooks.h"
#include "sysemu/runstate.h"
#include "haven-int.h"
#include "haven-xen.h"

/* A look at what ends without a word to us. */
#define LOOK_MS 5
/* A disk whose device takes on more and more is not waited for any longer. */
#define BUSY_MS 100
/* A disk that has been silent for so long hangs: the other ones go on. */
#define HUNG_MS 1000

static int64_t now_ms(void)
{
    return qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
}

static bool idle(const HavenDisk *disk)
{
    return !qatomic_read(&disk->filter->in_flight);
}

/* For how long the disk has not answered. */
static int64_t silent_ms(const HavenGuest *g, HavenDisk *disk)
{
    int64_t since = haven_block_oldest_ms(disk);

    if (idle(disk) || since < 0 || haven_throttle_pending(disk)) {
        return 0;
    }
    return now_ms() - MAX(since, g->settle.since_ms);
}

static bool may_stop(HavenGuest *g)
{
    bool long_enough = now_ms() >= g->settle.since_ms + BUSY_MS;

    for (size_t i = 0; i < g->disks.count; i++) {
        HavenDisk *disk = g->disks.disk[i];

        if (!idle(disk) && !(long_enough && silent_ms(g, disk) < BUSY_MS)) {
            return false;
        }
    }
    return true;
}

/* --- What is held back ------------------------------------------------------ */

/* The next device after that of @blk that serves the disk by queues, or NULL. */
static VirtIOBlock *next_device(const HavenDisk *disk, BlockBackend **blk)
{
    while (disk->filter && (*blk = blk_all_next(*blk))) {
        Object *dev = OBJECT(blk_get_attached_dev(*blk));

        if (blk_bs(*blk) == disk->filter &&
            object_dynamic_cast(dev, TYPE_VIRTIO_BLK)) {
            return VIRTIO_BLK(dev);
        }
    }
    return NULL;
}

static bool has_queues(const HavenDisk *disk)
{
    BlockBackend *blk = NULL;

    return next_device(disk, &blk) != NULL;
}

/* The devices look into their queues. */
static void kick(HavenDisk *disk)
{
    BlockBackend *blk = NULL;
    VirtIOBlock *dev;

    if (!disk->held) {
        return;
    }
    disk->held = false;
    while ((dev = next_device(disk, &blk))) {
        for (int i = 0; i < dev->conf.num_queues; i++) {
            virtio_queue_notify(VIRTIO_DEVICE(dev), i);
        }
    }
}

static void paid(void *opaque)
{
    kick(opaque);
}

bool haven_queue_held(BlockBackend *blk)
{
    HavenDisk *disk = blk_bs(blk) ? haven_block_disk(blk_bs(blk)) : NULL;
    int64_t wait_ns;

    if (!disk || !disk->session) {
        return false;
    }
    if (*disk->holding) {
        disk->held = true;
        return true;
    }
    wait_ns = haven_throttle_wait_ns(disk);
    if (wait_ns > 0) {
        disk->held = true;
        if (!disk->paid) {
            disk->paid = timer_new_ns(QEMU_CLOCK_REALTIME, paid, disk);
        }
        timer_mod(disk->paid, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + wait_ns);
    }
    return wait_ns > 0;
}

static void hold(HavenGuest *g, bool on)
{
    if (g->settle.holding == on) {
        return;
    }
    g->settle.holding = on;
    for (size_t i = 0; i < g->disks.count; i++) {
        HavenDisk *disk = g->disks.disk[i];

        if (!on) {
            kick(disk);
        } else if (has_queues(disk) && haven_throttle_pending(disk)) {
            /* It pays before it takes on more; others wait for their time. */
            haven_throttle_let_go(disk);
        }
    }
}

void haven_settle_forget_disk(HavenDisk *disk)
{
    timer_free(disk->paid);
    disk->paid = NULL;
    kick(disk);
}

/* --- Settling ---------------------------------------------------------------- */

static bool still_covered(HavenGuest *g)
{
    Error *err = NULL;

    if (!haven_watch_covered(g->watch, &g->disks, &err)) {
        haven_guest_give_up(error_get_pretty(err));
        error_free(err);
        g->uncovered = true;
    }
    return !g->uncovered;
}

static void look(HavenGuest *g)
{
    bool hung = false;

    if (!g->settle.waiting) {
        return;
    }
    if (!may_stop(g)) {
        for (size_t i = 0; i < g->disks.count; i++) {
            hung |= silent_ms(g, g->disks.disk[i]) >= HUNG_MS;
        }
        hold(g, !hung);
        timer_mod(g->settle.timer, now_ms() + LOOK_MS);
        return;
    }
    g->settle.waiting = false;
    timer_del(g->settle.timer);
    haven_session_ready(g->session, still_covered(g) ? 1 : -EAGAIN);
    hold(g, false);
}

static void on_timer(void *opaque)
{
    look(opaque);
}

void haven_settle_request_done(HavenDisk *disk)
{
    if (disk->settle_bh) {
        qemu_bh_schedule(disk->settle_bh);
    }
}

void haven_settle_start(HavenGuest *g)
{
    /* Neither is run by a nested event loop, see haven_run_on_main(). */
    g->settle.timer = timer_new_ms(QEMU_CLOCK_REALTIME, on_timer, g);
    g->settle.bh = aio_bh_new(iohandler_get_aio_context(), on_timer, g);
    for (size_t i = 0; i < g->disks.count; i++) {
        g->disks.disk[i]->holding = &g->settle.holding;
        g->disks.disk[i]->settle_bh = g->settle.bh;
    }
}

void haven_settle_stop(HavenGuest *g)
{
    if (!g->settle.bh) {
        return;
    }
    g->settle.waiting = false;
    hold(g, false);
    for (size_t i = 0; i < g->disks.count; i++) {
        g->disks.disk[i]->settle_bh = NULL;
    }
    qemu_bh_delete(g->settle.bh);
    g->settle.bh = NULL;
    timer_free(g->settle.timer);
}

int haven_settle_make_ready(void *opaque)
{
    HavenGuest *g = opaque;
    int ready = haven_domain_make_ready(g);

    if (ready != 1) {
        return ready;
    }
    if (!still_covered(g)) {
        return -EAGAIN;
    }
    if (g->settle.waiting) {
        return 0;
    }
    g->settle.since_ms = now_ms();
    if (!runstate_is_running() || may_stop(g)) {
        return 1;
    }
    g->settle.waiting = true;
    hold(g, true);
    timer_mod(g->settle.timer, now_ms() + LOOK_MS);
    return 0;
}

uint64_t haven_settle_stall_ms(void *opaque)
{
    HavenGuest *g = opaque;
    int64_t most = 0;

    for (size_t i = 0; g->settle.waiting && i < g->disks.count; i++) {
        most = MAX(most, silent_ms(g, g->disks.disk[i]));
    }
    return most;
}
