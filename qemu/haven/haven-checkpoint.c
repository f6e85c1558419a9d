/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stopping the guest for a checkpoint, saving its state, and going on. */
#include "qemu/osdep.h"
#include "qemu/units.h"
#include "block/aio.h"
#include "hw/virtio/virtio.h"
#include "io/channel-buffer.h"
#include "migration/global_state.h"
#include "migration/qemu-file.h"
#include "migration/savevm.h"
#include "sysemu/cpu-timers.h"
#include "sysemu/cpus.h"
#include "sysemu/runstate.h"
#include "haven-int.h"
#include "haven-xen.h"

/* QEMU's vCPUs, or under Xen the domain's.  0 or -errno. */
static int pause_vcpus(HavenGuest *g)
{
    HavenDomain *domain = haven_memory_domain(g->memory);

    if (domain) {
        return haven_domain_pause(domain);
    }
    pause_all_vcpus();
    return 0;
}

static void resume_vcpus(HavenGuest *g)
{
    HavenDomain *domain = haven_memory_domain(g->memory);

    if (domain) {
        haven_domain_unpause(domain);
    } else {
        resume_all_vcpus();
    }
}

static void start_vcpus(HavenGuest *g)
{
    if (runstate_is_running()) {
        cpu_enable_ticks();
        resume_vcpus(g);
    }
}

/*
 * No request is in flight after it.  A request's completion may have left its
 * interrupt behind in a bottom half and an event notifier, which only the main
 * loop would deliver; the saved state needs it.
 */
static void drain_begin(void)
{
    bdrv_drain_all_begin();
    aio_poll(qemu_get_aio_context(), false);
    virtio_deliver_guest_notifiers();
}

/*
 * The run state does not change, and no handler of its changes runs: those of
 * virtio would take down and set up ioeventfds (a memory transaction and a flush
 * of all TLBs each time).  A kick that is still in an ioeventfd is not lost:
 * devices look into their rings when the saved guest starts.
 */
int haven_checkpoint_stop(void *opaque)
{
    HavenGuest *g = opaque;
    int ret;

    if (g->uncovered) {
        return -EAGAIN;
    }
    haven_memory_new_sweep(g->memory);
    if (!runstate_is_running()) {
        if (haven_domain_suspended()) {
            /* It could: an administrator has paused the device model only. */
            return -EAGAIN;
        }
        drain_begin();
        bdrv_drain_all_end();
        return 0;
    }
    cpu_disable_ticks();
    ret = pause_vcpus(g);
    if (ret < 0) {
        cpu_enable_ticks();
        return ret;
    }
    if (haven_request_pending()) {
        start_vcpus(g);
        return -EAGAIN;
    }
    drain_begin();
    g->stopped = true;
    return 1;
}

/* The drained section lasts until here, so that nothing begins in between. */
void haven_checkpoint_resume(void *opaque)
{
    HavenGuest *g = opaque;

    if (!g->stopped) {
        return;
    }
    g->stopped = false;
    haven_memory_new_sweep(g->memory);
    start_vcpus(g);
    bdrv_drain_all_end();
}

static int append_state(HavenGuest *g, QIOChannelBuffer *buf, haven_buffer *out)
{
    HavenDomain *domain = haven_memory_domain(g->memory);

    if (domain) {
        return haven_domain_save(domain, buf->data, buf->usage, out);
    }
    haven_buffer_append(out, buf->data, buf->usage);
    return 0;
}

int haven_checkpoint_save(void *opaque, haven_buffer *out)
{
    HavenGuest *g = opaque;
    g_autofree int *ide_marks = haven_ide_remember(g->ide_buses);
    g_autoptr(QIOChannelBuffer) buf = qio_channel_buffer_new(512 * KiB);
    QEMUFile *f = qemu_file_new_output(QIO_CHANNEL(buf));
    int ret = 0;

    /* Running, or what an administrator made it; not our own stop. */
    if (runstate_is_running()) {
        global_state_store_running();
    } else {
        ret = global_state_store();
    }
    if (!ret) {
        ret = qemu_save_device_state(f);
    }
    haven_ide_put_back(g->ide_buses, ide_marks);
    qemu_fflush(f);
    if (!ret) {
        ret = qemu_file_get_error(f);
    }
    if (!ret) {
        ret = append_state(g, buf, out);
    }
    qemu_fclose(f);
    return ret;
}

/*
 * A vCPU between its check of the TLB and its store would write to a page
 * whose bit is already taken: never harvest under running vCPUs.  (Not so
 * under Xen, where the hypervisor takes care of that.)
 */
int haven_checkpoint_harvest(void *opaque, size_t index, uint64_t *bitmap,
                             size_t words, int keep)
{
    HavenGuest *g = opaque;
    bool running = runstate_is_running() && !g->stopped &&
                   !haven_memory_domain(g->memory);
    int ret;

    if (running) {
        pause_all_vcpus();
    }
    ret = haven_memory_harvest(g->memory, index, bitmap, words, keep);
    if (running) {
        resume_all_vcpus();
    }
    return ret;
}
