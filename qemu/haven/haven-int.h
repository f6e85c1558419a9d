/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared by the files of this folder.  Everything here runs on the main thread
 * with the BQL held unless a comment says otherwise.
 */
#ifndef HAVEN_INT_H
#define HAVEN_INT_H

#include <haven.h>

#include "block/block.h"
#include "block/reqlist.h"
#include "exec/cpu-common.h"
#include "net/filter.h"

/* haven-device.c: a device that no guest sees. */
#define TYPE_HAVEN_PROTECT "haven-protect"

/* haven-memory.c: guest memory as the library's regions. */
typedef struct HavenMemory HavenMemory;

HavenMemory *haven_memory_new(Error **errp);
void haven_memory_free(HavenMemory *mem);
size_t haven_memory_regions(HavenMemory *mem, struct haven_region **regions);
/* Turning it on counts every page as written. */
void haven_memory_log(HavenMemory *mem, bool on);
/* The vCPUs are stopped. Only a domain's record is ever kept. */
int haven_memory_harvest(HavenMemory *mem, size_t index, uint64_t *bitmap,
                         size_t words, bool keep);
/* The next harvest begins a new sweep over the regions. */
void haven_memory_new_sweep(HavenMemory *mem);
/* False once a block was resized: the layout that the backup knows is void. */
bool haven_memory_valid(HavenMemory *mem);
/* Under Xen, else NULL. */
struct HavenDomain *haven_memory_domain(HavenMemory *mem);

/* A request, from its begin in the filter to its end there. */
typedef struct HavenRequest {
    int64_t since_ms;
    QTAILQ_ENTRY(HavenRequest) next;
} HavenRequest;

/*
 * haven-block.c: the filter over one disk.  Its requests and its copier run in
 * coroutines of the disk's AioContext.
 */
typedef struct HavenDisk {
    char *name;
    char *path;                 /* on this host; NULL: it is elsewhere */
    BlockDriverState *filter;   /* we hold a reference, unless: */
    bool let_go;
    BlockDriverState *node;     /* what it protects; kept alive by the filter */
    uint32_t index;
    int64_t bytes;

    haven_session *session;     /* NULL: requests pass */
    QTAILQ_HEAD(, HavenRequest) active; /* in the filter, the oldest first */

    /* haven-settle.c */
    const bool *holding;        /* no further request is taken on ... */
    QEMUTimer *paid;            /* ... and none before this, by its limits */
    bool held;                  /* a device has been told so */
    QEMUBH *settle_bh;          /* for when a request has ended */

    CoMutex lock;               /* protects @requests */
    BlockReqList requests;      /* writes and copies in flight never overlap */

    bool copying;               /* the copier's coroutine exists */
    bool copy_again;            /* start it once more when it ends */
    bool copy_stop;
    int copies_in_flight;       /* handed to the library, not done yet */
    Coroutine *copy_waiter;     /* the copier, while it waits for one of them */
} HavenDisk;

/* Puts a filter above @node for all its users.  @disk->name is set. */
bool haven_block_insert(HavenDisk *disk, BlockDriverState *node, Error **errp);
/*
 * Drains and removes it; @disk->session is NULL by now.  False if another user of
 * the disk does not let it go: then it stays and goes on using @disk.
 */
bool haven_block_remove(HavenDisk *disk);
/*
 * Instead, for now: it goes on as any other node, and may go with its disk;
 * then @disk->filter is NULL.
 */
void haven_block_let_go(HavenDisk *disk);
/* The disk if @bs is our filter, else NULL. */
HavenDisk *haven_block_disk(BlockDriverState *bs);

/* Around each request that the disk may leave unanswered. */
void haven_block_request_begin(HavenDisk *disk, HavenRequest *request);
void haven_block_request_end(HavenDisk *disk, HavenRequest *request);
/* When the oldest request came that is in the filter; -1: there is none. */
int64_t haven_block_oldest_ms(const HavenDisk *disk);

void coroutine_fn haven_block_lock_range(HavenDisk *disk, BlockReq *req,
                                         int64_t offset, int64_t bytes);
void coroutine_fn haven_block_unlock_range(HavenDisk *disk, BlockReq *req);

/*
 * One call of the library that a coroutine waits for.  The library's thread
 * only schedules a bottom half; that, and the coroutine, run in the same
 * AioContext, so the two never race.
 */
typedef struct HavenWait {
    AioContext *ctx;
    Coroutine *waiter;
    bool done;
} HavenWait;

void haven_wait_init(HavenWait *wait, BlockDriverState *bs);
void haven_wait_done(void *wait);                 /* any thread */
/* @pending: what the library's call returned. */
void coroutine_fn haven_wait_for(HavenWait *wait, int pending);

/* haven-discard.c: on the node, then on the backup; the range is locked. */
#define HAVEN_DISCARD_ALIGNMENT 4096    /* blocks of most file systems */
int coroutine_fn haven_block_discard(HavenDisk *disk, int64_t offset,
                                     int64_t bytes);

/* haven-copy.c */
void haven_copy_start(HavenDisk *disk);
/* Its coroutine ends soon, and makes no further call of the library. */
void haven_copy_stop(HavenDisk *disk);
void haven_copy_wait(HavenDisk *disk);

/* haven-disks.c: every writable disk of the guest. */
typedef struct HavenDisks {
    HavenDisk **disk;
    size_t count;
} HavenDisks;

bool haven_disks_insert(HavenDisks *disks, Error **errp);
/* Never waits for a disk that hangs: its filter is removed when it answers. */
void haven_disks_remove(HavenDisks *disks);
/* False, with the reason: the guest writes past the filters. */
bool haven_disks_covered(const HavenDisks *disks, Error **errp);
void haven_disks_set_session(HavenDisks *disks, haven_session *session);
/* Of all writable disks that are files or devices of this host: char * */
GPtrArray *haven_disk_paths(void);

/* haven-net.c: every NIC of the guest. */
typedef struct HavenNics {
    GPtrArray *filters;
} HavenNics;

bool haven_nics_insert(HavenNics *nics, Error **errp);
void haven_nics_remove(HavenNics *nics);
void haven_nics_set_session(HavenNics *nics, haven_session *session);
void haven_nic_send(void *nic, unsigned flags, const uint8_t *data,
                    size_t bytes);

/* haven-checks.c: what cannot be replicated, apart from disks and NICs. */
bool haven_check_guest(Error **errp);

/* haven-devices.c: false, with the reason: one cannot be saved. */
bool haven_devices_check(Error **errp);

/* haven-watch.c: is all of it still covered?  Looked at before each checkpoint. */
typedef struct HavenWatch HavenWatch;

HavenWatch *haven_watch_new(const Error *blocker);
void haven_watch_free(HavenWatch *watch);
bool haven_watch_covered(HavenWatch *watch, const HavenDisks *disks,
                         Error **errp);

/*
 * haven-machine.c: what the guest can see of the machine, as text; the caller
 * frees it.
 */
char *haven_machine_describe(void);

/* haven-ide.c: saving leaves no traces in the guest that runs on. */
GPtrArray *haven_ide_buses(void);
int *haven_ide_remember(const GPtrArray *buses);
void haven_ide_put_back(const GPtrArray *buses, const int *marks);

/*
 * haven-options.c: fills @options with what was said and the defaults of the
 * rest, which the caller may change.  Nothing is copied.
 * @arbiter: NULL: there is none.
 * @on_start: enum haven_on_start; -1: as suits the arbiter.
 */
bool haven_options_init(struct haven_options *options, const char *guest,
                        const char *host, const char *port,
                        const char *arbiter, int on_start, Error **errp);

typedef struct HavenSettle {
    bool waiting;               /* haven_session_ready() is due */
    bool holding;               /* virtio disks leave requests in their queues */
    int64_t since_ms;
    QEMUTimer *timer;
    QEMUBH *bh;
} HavenSettle;

/* haven-guest.c: the one guest of this process. */
typedef struct HavenGuest {
    haven_session *session;
    HavenMemory *memory;
    HavenDisks disks;
    HavenNics nics;
    GPtrArray *ide_buses;       /* IDEBus */
    struct haven_plugs *plugs;  /* over PV NICs; only under Xen */
    Error *blocker;
    HavenWatch *watch;
    bool uncovered;             /* no checkpoint more: the session ends soon */
    HavenSettle settle;
    bool stopped;               /* between stop() and resume() */
    bool ending;                /* haven_session_stop() was called */
    char *end_reason;           /* for people, or NULL */
} HavenGuest;

bool haven_guest_start(const struct haven_options *options, Error **errp);
/* Does not wait: query says what is waited for, and when it has ended. */
bool haven_guest_unprotect(Error **errp);
/* As that, since the guest is off: nothing is asked for twice. */
bool haven_guest_power_off(Error **errp);
bool haven_guest_has_session(void);
bool haven_guest_set_mode(const struct haven_mode *mode, Error **errp);
/* Main thread, also from a callback: ends the session soon, with the reason. */
void haven_guest_give_up(const char *why);
/* False: a session with the backup is under way, which decides by itself. */
bool haven_guest_undecided(Error **errp);
/* Of the running session, else of the last one. */
void haven_guest_query(struct haven_status *status);

/* haven-shutdown.c: the session has ended. */
void haven_shutdown_go_on(void);

/* haven-gate.c: may the guest's first instruction run? */
bool haven_gate_allows(Error **errp);
/* NULL: for nothing. */
const char *haven_gate_waits_for(void);
/* A person's words: this copy counts, or it is thrown away. */
bool haven_gate_decide(bool adopt, Error **errp);

/* haven-calls.c */
/* Any thread; see haven_guest_ops. */
void haven_run_on_main(void *opaque, void (*fn)(void *arg), void *arg);
/* Did the guest ask for a reset or its end, which is not served yet? */
bool haven_request_pending(void);

/* haven-checkpoint.c: see haven_guest_ops; opaque is the HavenGuest. */
int haven_checkpoint_stop(void *opaque);
void haven_checkpoint_resume(void *opaque);
int haven_checkpoint_save(void *opaque, haven_buffer *out);
int haven_checkpoint_harvest(void *opaque, size_t index, uint64_t *bitmap,
                             size_t words, int keep);

/* haven-settle.c: the last two see haven_guest_ops. */
void haven_settle_start(HavenGuest *g);
void haven_settle_stop(HavenGuest *g);
void haven_settle_forget_disk(HavenDisk *disk);
void haven_settle_request_done(HavenDisk *disk);
int haven_settle_make_ready(void *opaque);
uint64_t haven_settle_stall_ms(void *opaque);

/* haven-throttle.c: how long a request would wait that came now. */
int64_t haven_throttle_wait_ns(HavenDisk *disk);
/* Does any request wait? */
bool haven_throttle_pending(HavenDisk *disk);
/* Those that do go on, charged for. */
void haven_throttle_let_go(HavenDisk *disk);

/* haven-event.c: to the monitor; what it asks for is in haven-qmp.c. */
void haven_event_state(const struct haven_status *status);
/* @why: what the start gate waits for; NULL: it is open. */
void haven_event_held(const char *why);

#endif
