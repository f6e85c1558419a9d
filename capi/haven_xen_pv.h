/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * haven_xen_pv.h - the part of libhaven that a device model under Xen uses for a
 * guest with PV drivers: the guest's own suspend, the output of NICs that
 * netback serves, and which of its PV devices a checkpoint covers.
 *
 * The rules of haven.h hold. All calls on the main thread. A library that was
 * built without Xen has these functions, too; those that open fail there.
 */
#ifndef HAVEN_XEN_PV_H
#define HAVEN_XEN_PV_H

#include "haven.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- The guest's suspend --------------------------------------------------- */

typedef struct haven_suspend haven_suspend;

/* One for the life of the process: a guest may follow a request late. */
HAVEN_EXPORT haven_suspend *haven_suspend_open(uint32_t domid, struct haven_error *error);
/* Readable when haven_suspend_arrived() should be called. */
HAVEN_EXPORT int haven_suspend_fd(haven_suspend *);
/* Before the first request of a session. 0 or -1 with `error` filled. */
HAVEN_EXPORT int haven_suspend_begin(haven_suspend *, struct haven_error *error);

enum haven_suspend_answer {
  HAVEN_SUSPEND_NO_DRIVERS = 0, /* the guest has no PV drivers: pausing it is enough */
  HAVEN_SUSPEND_ASKED = 1,      /* the file descriptor will tell */
  HAVEN_SUSPEND_PAUSED = 2,     /* an administrator has paused the domain */
  HAVEN_SUSPEND_BUSY = 3,       /* it has another request to answer, or is ending */
};
/* Asks the guest to suspend. An answer, or -1 with `error` filled. */
HAVEN_EXPORT int haven_suspend_ask(haven_suspend *, struct haven_error *error);
/* 1: the guest is suspended because it was asked; haven_suspend_resume() has to
 * follow. 0: not yet. -1 with `error` filled. */
HAVEN_EXPORT int haven_suspend_arrived(haven_suspend *, struct haven_error *error);
/* The suspended guest goes on here, as after a suspend that was cancelled. */
HAVEN_EXPORT int haven_suspend_resume(haven_suspend *, struct haven_error *error);
/* Takes the request back. 1: the guest will not follow it. 0: it may, and
 * haven_suspend_arrived() will tell, until haven_suspend_forget(). */
HAVEN_EXPORT int haven_suspend_withdraw(haven_suspend *, struct haven_error *error);
HAVEN_EXPORT void haven_suspend_forget(haven_suspend *);

/* --- The output of NICs that netback serves -------------------------------- */

typedef struct haven_plugs haven_plugs;

struct haven_vif {
  const char *device; /* of the host, e.g. vif5.0 */
  uint32_t number;    /* of the domain's NICs */
};

/* Everything that the domain sends through these goes through plugs in the
 * kernel from now on; they let it pass. Removes what a former process has left. */
HAVEN_EXPORT haven_plugs *haven_plugs_open(uint32_t domid, const struct haven_vif *vifs, size_t count,
                                           struct haven_error *error);
/* After haven_session_free(). Output that is still held stays held. */
HAVEN_EXPORT void haven_plugs_close(haven_plugs *);
/* For the members of haven_guest_ops of these names. 0 or -1 with `error` filled. */
HAVEN_EXPORT int haven_plugs_cut(haven_plugs *, struct haven_error *error);
HAVEN_EXPORT void haven_plugs_release(haven_plugs *);
HAVEN_EXPORT int haven_plugs_release_all(haven_plugs *, struct haven_error *error);
HAVEN_EXPORT int haven_plugs_drop(haven_plugs *, struct haven_error *error);
/* Whether the output of that device is held. */
HAVEN_EXPORT int haven_plugs_cover(haven_plugs *, const char *device);
HAVEN_EXPORT size_t haven_plugs_count(haven_plugs *);

/* --- The domain's PV devices ----------------------------------------------- */

typedef struct haven_frontends haven_frontends;

enum haven_coverage {
  HAVEN_COVERED_REPLICATED = 0,
  HAVEN_COVERED_HELD = 1,
  HAVEN_COVERED_SAVED = 2,
  HAVEN_COVERED_NOT_HELD = 3,
  HAVEN_COVERED_REFUSED = 4,
};

/* NULL with `error` filled. */
HAVEN_EXPORT haven_frontends *haven_frontends_open(uint32_t domid, struct haven_error *error);
HAVEN_EXPORT void haven_frontends_close(haven_frontends *);
/* 0 if all are covered, or -1 with `error` filled: the first that is not. */
HAVEN_EXPORT int haven_frontends_check(haven_frontends *, struct haven_error *error);
/* As haven_frontends_check(), and from here on haven_frontends_covered() knows. Once. */
HAVEN_EXPORT int haven_frontends_begin(haven_frontends *, struct haven_error *error);
/* Readable when haven_frontends_covered() should be called; it costs next to nothing else.
 * 0, or -1 with `error` filled: what the domain has been given since, or is not covered any more. */
HAVEN_EXPORT int haven_frontends_fd(haven_frontends *);
HAVEN_EXPORT int haven_frontends_covered(haven_frontends *, struct haven_error *error);
/* Calls `each` for all of them. `why` may be empty. 0 or -1 with `error` filled. */
HAVEN_EXPORT int haven_frontends_list(haven_frontends *,
                                      void (*each)(void *opaque, const char *title, const char *type,
                                                   enum haven_coverage coverage, const char *why),
                                      void *opaque, struct haven_error *error);

#ifdef __cplusplus
}
#endif

#endif
