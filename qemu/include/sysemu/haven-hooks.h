/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the rest of the device model asks HAVEN before it changes the guest.
 * All of it needs the BQL.  Without CONFIG_HAVEN, and while no guest is
 * protected, every question is answered with yes.
 */
#ifndef SYSEMU_HAVEN_HOOKS_H
#define SYSEMU_HAVEN_HOOKS_H

#ifdef CONFIG_HAVEN

/*
 * May devices, media, network backends or filters be added or removed, or
 * snapshots be loaded?  A protected guest has the devices that the backup
 * knows.  @what completes "cannot ...".
 */
bool haven_change_allowed(const char *what, Error **errp);

/* May the vCPUs of the paused guest be started? */
bool haven_run_allowed(Error **errp);

/*
 * May the vCPUs be started, whoever wants it?  If not, they are when it becomes
 * known that no other copy of the guest is newer.
 */
bool haven_start_allowed(void);

/*
 * Is a shutdown, for this ShutdownCause, to be put off?  The backup is told
 * first; then it is requested again.
 */
bool haven_shutdown_must_wait(int cause);

/*
 * Is a virtio disk to leave further requests in its queues for now?  It is
 * notified when it may take them on.
 */
struct BlockBackend;
bool haven_queue_held(struct BlockBackend *blk);

#else

static inline bool haven_change_allowed(const char *what, Error **errp)
{
    return true;
}

static inline bool haven_run_allowed(Error **errp)
{
    return true;
}

static inline bool haven_start_allowed(void)
{
    return true;
}

static inline bool haven_shutdown_must_wait(int cause)
{
    return false;
}

struct BlockBackend;
static inline bool haven_queue_held(struct BlockBackend *blk)
{
    return false;
}

#endif
#endif
