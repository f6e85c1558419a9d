/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * haven_xen.h - the part of libhaven that a device model under Xen uses to
 * fill in its haven_guest_ops: guest memory, the record of written pages,
 * pause, and the state of the virtual machine outside of the device model.
 *
 * The rules of haven.h hold. All calls on the main thread, except that the
 * region's memory may be read on any. A library that was built without Xen has
 * these functions, too; haven_xen_open() fails there with the reason.
 */
#ifndef HAVEN_XEN_H
#define HAVEN_XEN_H

#include "haven.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct haven_xen haven_xen;

/* `count` guest frames (of 4096 octets) from `first` on. */
struct haven_xen_frames {
  uint64_t first;
  uint64_t count;
};

/* 1 when xl has created the domain: from then on libxl keeps its configuration, without which a
 * backup could not start it; else 0. */
HAVEN_EXPORT int haven_xen_created(uint32_t domid);

/* The domain does not run while it is held, whatever an "xl unpause" or two say. 0 or -1 with `error` filled. */
HAVEN_EXPORT int haven_xen_hold(uint32_t domid, int hold, struct haven_error *error);

/* Maps the memory of a domain, and has another process stop the domain for good
 * should this one die before haven_xen_close(). `likely` says where its memory is expected; the
 * rest of the space is searched only when that is not all of it. */
HAVEN_EXPORT haven_xen *haven_xen_open(uint32_t domid, const struct haven_xen_frames *likely, size_t count,
                                       struct haven_error *error);
/* Ends the record of written pages, unmaps. After haven_session_free(). */
HAVEN_EXPORT void haven_xen_close(haven_xen *);

/* The one region to protect, valid until haven_xen_close(). */
HAVEN_EXPORT void haven_xen_region(haven_xen *, struct haven_region *region);

/* For the members of haven_guest_ops of these names. 0 or -1 with `error` filled. */
HAVEN_EXPORT int haven_xen_set_dirty_log(haven_xen *, int on, struct haven_error *error);
HAVEN_EXPORT int haven_xen_harvest_dirty(haven_xen *, uint64_t *bitmap, size_t words, int keep,
                                         struct haven_error *error);

/* As haven_guest_ops.cpu_ns(). */
HAVEN_EXPORT uint64_t haven_xen_cpu_ns(haven_xen *);

/* No vCPU runs after a pause; pauses count. */
HAVEN_EXPORT int haven_xen_pause(haven_xen *, struct haven_error *error);
/* Pauses so often that an "xl unpause" or two do not run the domain again. */
HAVEN_EXPORT int haven_xen_pause_for_good(haven_xen *, struct haven_error *error);
HAVEN_EXPORT int haven_xen_unpause(haven_xen *, struct haven_error *error);

/* The domain is paused: appends to `out` all state of the virtual machine,
 * `device_model` being the device model's own. */
HAVEN_EXPORT int haven_xen_save_state(haven_xen *, const void *device_model, size_t bytes, haven_buffer *out,
                                      struct haven_error *error);

/* The guest's memory map has changed in these frames: the next
 * haven_xen_harvest_dirty() follows. */
HAVEN_EXPORT void haven_xen_moved(haven_xen *, const struct haven_xen_frames *frames);

#ifdef __cplusplus
}
#endif

#endif
