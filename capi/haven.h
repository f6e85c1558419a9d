/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * haven.h - the C interface of libhaven, used by a device model to replicate
 * the guest that it runs (primary side).
 *
 * Rules:
 *  - Handles are opaque. Structs that cross the interface begin with their size;
 *    new fields are added at the end only.
 *  - No exception leaves the library. Functions that can fail return 0 or -1
 *    and fill a haven_error.
 *  - "main thread" is the device model's thread that holds the guest's lock
 *    (QEMU: the main loop with the BQL). Each callback says on which thread
 *    it is called.
 */
#ifndef HAVEN_H
#define HAVEN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "haven_figures.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HAVEN_ABI_VERSION 2
#define HAVEN_EXPORT __attribute__((visibility("default")))

typedef struct haven_session haven_session;
typedef struct haven_buffer haven_buffer;

/* Why a call failed: one sentence for people, always terminated. */
struct haven_error {
  char message[512];
};

/* A piece of guest memory that is contiguous in this process. Both pointers
 * stay valid until haven_session_free(). bytes is a multiple of 4096. */
struct haven_region {
  const char *name;
  uint8_t *host;
  uint64_t bytes;
};

struct haven_disk {
  const char *name; /* the same on primary and backup */
  uint64_t bytes;
};

enum haven_state {
  HAVEN_CONNECTING = 0,  /* no backup yet; the guest is not protected */
  HAVEN_SYNCING = 1,     /* first copy of memory and disks is under way */
  HAVEN_PROTECTED = 2,   /* a checkpoint of this session committed, and the backup can go on from it */
  HAVEN_UNPROTECTED = 3, /* the backup was lost; retrying */
  HAVEN_REFUSED = 4,     /* the backup said no; message says why; not retried */
  HAVEN_LOST = 5,        /* the backup runs the guest; this copy is halted */
  HAVEN_STOPPED = 6,     /* what haven_session_stop() begins is done */
  HAVEN_HELD = 7,        /* of a gate, see haven_gate_close(): the guest is not started yet */
  HAVEN_VERIFYING = 8,   /* a checkpoint committed; the backup tries whether it can be loaded */
};

/* What to do with the guest while no backup answers. */
enum haven_on_backup_loss {
  HAVEN_LOSS_CONTINUE = 0, /* go on unprotected, release output */
  HAVEN_LOSS_PAUSE = 1,    /* hold output and disk writes until a backup is back */
};

#define HAVEN_MEMBER_NUMBER(name, unit, meaning) uint64_t name;
#define HAVEN_MEMBER_TEXT(name, octets, meaning) char name[octets];
struct haven_status {
  size_t size;
  int state; /* enum haven_state */
  HAVEN_STATUS_MEMBERS(HAVEN_MEMBER_NUMBER, HAVEN_MEMBER_TEXT)
};
#undef HAVEN_MEMBER_NUMBER
#undef HAVEN_MEMBER_TEXT

/* What the device model does for the session.
 * `opaque` is the value given to haven_session_start(). */
struct haven_guest_ops {
  size_t size;
  /* Any thread: run fn(arg) on the main thread soon, in order of the calls. */
  void (*run_on_main)(void *opaque, void (*fn)(void *arg), void *arg);
  /* Main thread: begin or end tracking of written pages. 0 or -errno.
   * After it begins, every page counts as written once. */
  int (*set_dirty_log)(void *opaque, int on);
  /* Main thread: set in `bitmap` (bit i of word i/64: page i; all zero
   * before) the pages of region `index` written since the record was last
   * forgotten. `keep` 0: forget it; 1: what is in it may be reported by the
   * next call too, if that is cheaper than to forget it. 0 or -errno. */
  int (*harvest_dirty)(void *opaque, size_t index, uint64_t *bitmap, size_t words, int keep);
  /* Main thread: stop the vCPUs and drain requests in flight; no flush, no
   * inactivation, no event. Returns 1 if the guest was running, 0 if an
   * administrator had already paused it, -EAGAIN if this is no moment for a
   * checkpoint (a reset is under way), -errno on failure. */
  int (*stop)(void *opaque);
  /* Main thread: undo a stop() that returned 1. */
  void (*resume)(void *opaque);
  /* Main thread, guest stopped: haven_buffer_append() all device state. 0 or -errno. */
  int (*save_device_state)(void *opaque, haven_buffer *out);
  /* Main thread: let one held frame go on to the network. `nic` is the value
   * given to haven_net_output(). */
  void (*send_frame)(void *opaque, void *nic, unsigned flags, const uint8_t *data, size_t bytes);
  /* Main thread: begin copying disk `index` to the backup: read it with
   * haven_disk_next_copy() until that returns 0. */
  void (*start_disk_copy)(void *opaque, uint32_t index);
  /* Main thread: the state has changed. */
  void (*state_changed)(void *opaque, const struct haven_status *status);
  /* Main thread: the backup runs the guest. Stop it here for good. */
  void (*halt)(void *opaque);
  /* Main thread: what haven_session_stop() has begun is done; state_changed() has
   * said how. The library's last call; the session may be freed in it. */
  void (*ended)(void *opaque);
  /* The members from here on may be NULL, or missing in a caller that was
   * built before they existed. */
  /* Main thread: a checkpoint is wanted. Requests of the disks that are in
   * flight finish while the guest runs on, and a guest that takes part in its
   * own stop is asked to. Not part of the pause; does not wait. Returns 1 if
   * stop() may follow at once; 0 if haven_session_ready() will be called;
   * -EAGAIN or -errno as stop(). */
  int (*make_ready)(void *opaque);
  /* All four or none: output that never passes haven_net_output(), but is held
   * by other means. Main thread; cut_output() with the guest stopped. */
  /* What has left the guest belongs to the epoch that is about to be cut and
   * is held, as is what comes from now on. 0 or -errno. */
  int (*cut_output)(void *opaque);
  /* Let go what belongs to the epoch that was cut last. */
  void (*release_output)(void *opaque);
  /* Let go everything, hold nothing any more. */
  void (*release_all_output)(void *opaque);
  /* Throw away what is held, go on holding. 0 or -errno. */
  int (*drop_output)(void *opaque);
  /* Main thread: CPU time that the vCPUs have used so far, nanoseconds; 0: not known. */
  uint64_t (*cpu_ns)(void *opaque);
  /* Main thread: what the guest does, an enum haven_run. */
  int (*run_state)(void *opaque);
  /* Main thread: for how long what make_ready() began has waited for a disk that
   * does not answer, milliseconds; 0: it does not. */
  uint64_t (*disk_stall_ms)(void *opaque);
};

enum haven_run {
  HAVEN_RUN_UNKNOWN = 0,
  HAVEN_RUN_RUNNING = 1,
  HAVEN_RUN_PAUSED = 2,   /* by an administrator */
  HAVEN_RUN_IO_ERROR = 3, /* it waits for its disk to be mended */
  HAVEN_RUN_PANICKED = 4,
  HAVEN_RUN_WATCHDOG = 5, /* its watchdog has stopped it */
  HAVEN_RUN_OTHER = 6
};

/* What run_state of struct haven_status is of an enum haven_run. */
HAVEN_EXPORT const char *haven_run_name(int run);

/* Parts of the memory encoder that work; fewer than all for comparisons. */
enum haven_encoder_stages {
  HAVEN_ENCODER_ALL = 0,
  HAVEN_ENCODER_NONE = 1,        /* whole pages */
  HAVEN_ENCODER_BLOCKS = 2,      /* what has changed of a page */
  HAVEN_ENCODER_SHARING = 3,     /* references to equal pages */
  HAVEN_ENCODER_COMPRESSION = 4, /* whole pages, compressed */
};
enum haven_encoder_compression {
  HAVEN_COMPRESSION_ADAPTIVE = 0, /* whatever travels soonest, or none */
  HAVEN_COMPRESSION_ZLIB = 1,
  HAVEN_COMPRESSION_LZ4 = 2,
  HAVEN_COMPRESSION_ZSTD = 3,
};

struct haven_options {
  size_t size;
  const char *guest;           /* the guest's name in the backup's configuration */
  const char *host, *port;     /* of the backup's havend */
  uint32_t interval_ms;        /* that the guest runs between checkpoints, 1 .. 60000 */
  uint32_t deadline_ms;        /* of silence until the backup is lost, 50 .. 60000 */
  int on_backup_loss;          /* enum haven_on_backup_loss */
  const char *arbiter;         /* command that must exit 0 before output is released
                                  after a loss; NULL: none */
  uint64_t output_limit_bytes; /* of memory for held frames; 0: 64 MiB */
  /* How memory is encoded; docs/memrep.md. A caller built before these
   * existed gets what 0 means. */
  int encoder_stages;                     /* enum haven_encoder_stages */
  int encoder_compression;                /* enum haven_encoder_compression */
  uint32_t encoder_block_bytes;           /* 64, 128 or 256; 0: 64 */
  uint32_t encoder_cpu_percent;           /* of one processor, for compression; 0: 100 */
  uint64_t encoder_cache_bytes;           /* for copies of what the backup has; 0: an
                                             eighth of the guest, 16 MiB .. 1 GiB */
  uint64_t encoder_link_bytes_per_second; /* what the link carries; 0: measured */
  uint32_t encoder_cache_percent;         /* of the guest's memory, 1 .. 100, instead of
                                             encoder_cache_bytes; 0: that */
  uint32_t threads;                       /* that encode memory, and copy large dirty sets in
                                             the pause, 1 .. 64; 0: as many as there are
                                             processors, up to 4 */
  int share;                              /* not 0: equal pages are shared with other guests
                                             of this host that share them, too, if the backup
                                             lets both; they have to trust each other */
  const char *state_dir;                  /* of all guests: each has a folder with the record
                                             that says how new its copy is; NULL: /var/lib/haven */
  const char *const *disk_paths;          /* of each disk the file or block device on this host
                                             that holds it, or NULL; NULL: of none */
  uint32_t start_wait_s;                  /* when this guest is started again: how long its backup
                                             is asked whether that copy is newer, before: */
  int on_start;                           /* enum haven_on_start */
  const struct haven_mode *mode;          /* NULL: HAVEN_MODE_REMUS; the interval is interval_ms,
                                             unless it is given here */
  int output_elsewhere;                   /* not 0: some output never passes haven_net_output(),
                                             but is held by cut_output() */
  const char *machine;                    /* what the guest can see of the machine, for the backup
                                             to compare with its own: lines "THING = VALUE" and
                                             "THING PROPERTY = VALUE" of printable ASCII, at most
                                             1 MiB; NULL: nothing is compared */
  uint32_t lag_limit_ms;                  /* a checkpoint that is not committed after that ends
                                             protection, 1000 .. 3600000; 0: 60000 */
};

/* What ends an epoch. */
enum haven_mode_name {
  HAVEN_MODE_AS_IT_IS = 0,
  HAVEN_MODE_REMUS = 1,    /* the interval is over */
  HAVEN_MODE_KEMARI = 2,   /* output waits */
  HAVEN_MODE_ADAPTIVE = 3, /* output waits, as often as the targets allow */
};

/* Whether pages of a large epoch that are not expected to be written again soon are sent before its pause. */
enum haven_predict { HAVEN_PREDICT_AS_IT_IS = 0, HAVEN_PREDICT_YES = 1, HAVEN_PREDICT_NO = 2 };

/* A mode and its settings; docs/modes.md. 0 leaves each as it is, at first at its default. Those of other
 * modes are kept until one of these is chosen. */
struct haven_mode {
  size_t size;
  int mode;                  /* enum haven_mode_name */
  uint32_t interval_ms;      /* remus: that the guest runs between checkpoints, 1 .. 60000 (50) */
  uint32_t window_us;        /* kemari: from an epoch's first output to its end, 1 .. 100000 (500) */
  uint32_t max_age_ms;       /* kemari, adaptive: an epoch lasts no longer, 10 .. 60000 (1000) */
  uint32_t latency_us;       /* adaptive, target: how long output is held, 100 .. 10000000 (10000) */
  uint32_t pause_us;         /* adaptive, target: the longest pause, 100 .. 10000000 (5000) */
  uint32_t overhead_percent; /* adaptive, limit: of its work, that the guest loses by standing still, 1 .. 90 (5) */
  uint32_t in_flight;        /* epochs that are sent and not committed, 1 .. 8 (4) */
  int predict;               /* enum haven_predict (yes) */
};

/* What becomes of a guest that is started while its backup does not answer. */
enum haven_on_start {
  HAVEN_START_WAIT = 0,    /* it is not started until the backup answers, or a person decides */
  HAVEN_START_ARBITER = 1, /* the arbiter decides */
  HAVEN_START_ANYWAY = 2,
};

/* --- The start gate ----------------------------------------------------------
 *
 * A copy of a guest that had a backup may be an old one: nothing of it may run
 * before that is known. */

typedef struct haven_gate haven_gate;

struct haven_gate_options {
  size_t size;
  const char *guest;             /* its name; others are found on its disks */
  const char *state_dir;         /* as in haven_options */
  const char *const *disk_paths; /* of its writable disks on this host */
  size_t disk_count;
  /* Main thread. The guest may run now (open 1), or what it waits for. */
  void (*changed)(void *opaque, int open, const char *message);
  /* As in haven_guest_ops. */
  void (*run_on_main)(void *opaque, void (*fn)(void *arg), void *arg);
  void *opaque;
};

/* Main thread, before the guest's first instruction. Asks the backup until the
 * guest may run, and tells by changed(). All arguments are copied.
 * @return NULL if the guest may run at once. */
HAVEN_EXPORT haven_gate *haven_gate_close(const struct haven_gate_options *options);
/* Main thread; not from changed(). No call of changed() follows. */
HAVEN_EXPORT void haven_gate_free(haven_gate *);
/* Main thread. A person's words: this copy counts, whatever the backup has; the
 * guest is started. Or: it is thrown away. @return 0, or -1 with `error` filled. */
HAVEN_EXPORT int haven_gate_adopt(haven_gate *, struct haven_error *error);
HAVEN_EXPORT int haven_gate_discard(haven_gate *, struct haven_error *error);

/* The version this library was built with. Any thread. */
HAVEN_EXPORT int haven_abi_version(void);

/* Main thread. Starts to protect the guest; returns at once, connection and
 * copy go on by themselves and report through state_changed(). All arguments
 * are copied, except ops' functions, opaque and the regions' memory.
 * @return the session, or NULL with `error` filled. */
HAVEN_EXPORT haven_session *haven_session_start(const struct haven_options *options, const struct haven_guest_ops *ops,
                                                void *opaque, const struct haven_region *regions, size_t region_count,
                                                const struct haven_disk *disks, size_t disk_count,
                                                struct haven_error *error);

/* Why a session ends. */
enum haven_stop_reason {
  HAVEN_STOP_UNPROTECT = 1,
  HAVEN_STOP_GUEST_OFF = 2, /* the guest powered itself off or was shut down */
};

/* Main thread. Begins the end of protection and does not wait: the backup is
 * told; one that does not hear it is asked, and the arbiter, before what is held
 * leaves. That may take long; the status says what is waited for. ended()
 * follows; until then the session is used as before. When it ends already it only
 * takes HAVEN_STOP_GUEST_OFF for a reason to ask nobody twice.
 * @return 0, or -1 with `error` filled: nothing has ended. */
HAVEN_EXPORT int haven_session_stop(haven_session *, int reason, struct haven_error *error);

/* Main thread, when no filter uses it any more: ends the library's threads
 * and frees it. Before ended() the backup takes it for the end of this process. */
HAVEN_EXPORT void haven_session_free(haven_session *);

/* Any thread. From now on epochs end so; the guest stays protected.
 * @return 0, or -1 with `error` filled: nothing has changed. */
HAVEN_EXPORT int haven_session_set_mode(haven_session *, const struct haven_mode *mode, struct haven_error *error);

/* Main thread: after make_ready() has returned 0. `result` is 1 when the guest is
 * ready: the checkpoint is taken before this returns. -EAGAIN: this was no
 * moment for one.
 * @return 1 if it was taken or tried, so that stop() and resume() have been called;
 *         0 if nobody wants it any more: let the guest go on. */
HAVEN_EXPORT int haven_session_ready(haven_session *, int result);

/* Main thread. Fills up to status->size octets. */
HAVEN_EXPORT void haven_session_query(haven_session *, struct haven_status *status);

/* Device state under save_device_state(). Main thread. */
HAVEN_EXPORT void haven_buffer_append(haven_buffer *, const void *data, size_t bytes);

/* Disk requests. Any thread. Call before or while the local request runs, and
 * complete the guest's request only when both are done.
 * @return 0: nothing to wait for; 1: done(arg) will be called exactly once, on
 *         any thread, maybe before the call returns.
 * The data is copied before the call returns. Requests that overlap must not
 * be in flight together: the caller serialises them.
 * offset and bytes are octets; `iov` holds at least `bytes`. */
typedef void (*haven_done_fn)(void *arg);
HAVEN_EXPORT int haven_disk_write(haven_session *, uint32_t disk, uint64_t offset, uint64_t bytes,
                                  const struct iovec *iov, int iov_count, size_t iov_skip, haven_done_fn done,
                                  void *arg);
HAVEN_EXPORT int haven_disk_zero(haven_session *, uint32_t disk, uint64_t offset, uint64_t bytes, int may_unmap,
                                 haven_done_fn done, void *arg);
HAVEN_EXPORT int haven_disk_discard(haven_session *, uint32_t disk, uint64_t offset, uint64_t bytes, haven_done_fn done,
                                    void *arg);
HAVEN_EXPORT int haven_disk_flush(haven_session *, uint32_t disk, haven_done_fn done, void *arg);

/* The next piece of `disk` to copy in the first synchronisation. Any thread,
 * one caller a disk. Between this call and the return of haven_disk_copy()
 * no guest write to the piece may be in flight.
 * @return 1 and the piece (at most 256 KiB), or 0: nothing (more) to copy. */
HAVEN_EXPORT int haven_disk_next_copy(haven_session *, uint32_t disk, uint64_t *offset, uint64_t *bytes);
/* Sends what was read. data == NULL: the piece reads as zeros. Returns as
 * haven_disk_write(). */
HAVEN_EXPORT int haven_disk_copy(haven_session *, uint32_t disk, uint64_t offset, uint64_t bytes, const void *data,
                                 haven_done_fn done, void *arg);
/* The piece could not be read (-errno): the session reports it and gives up. Any thread. */
HAVEN_EXPORT void haven_disk_copy_failed(haven_session *, uint32_t disk, uint64_t offset, int error);

/* A frame that the guest sends, of any ethertype. Main thread.
 * @return 1: the session holds (or has dropped) the frame, it comes back
 *         through send_frame(); 0: not protected, send it now. */
HAVEN_EXPORT int haven_net_output(haven_session *, void *nic, unsigned flags, const struct iovec *iov, int iov_count);

#ifdef __cplusplus
}
#endif

#endif
