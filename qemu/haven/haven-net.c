/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Net filter "netrep": every frame that the guest sends goes to the library,
 * which gives it back when the checkpoint that covers it is committed.
 *
 * Directions are the netdev's: what the guest sends is received by it.  In that
 * direction the list of filters is walked from its tail to its head, so that
 * at the head nothing is between us and the wire.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/iov.h"
#include "qemu/module.h"
#include "net/net.h"
#include "net/vhost_net.h"
#include "qom/object_interfaces.h"
#include "haven-int.h"

#define TYPE_NETREP "netrep"
OBJECT_DECLARE_SIMPLE_TYPE(NetRepState, NETREP)

struct NetRepState {
    NetFilterState parent_obj;
    haven_session *session;     /* NULL: frames pass */
};

/*
 * Frames that are not held are passed on from here as well: a frame that the
 * backend completes later would be in flight at a checkpoint, and no NIC saves
 * that.
 */
static ssize_t netrep_receive_iov(NetFilterState *nf, NetClientState *sender,
                                  unsigned flags, const struct iovec *iov,
                                  int iovcnt, NetPacketSent *sent_cb)
{
    NetRepState *s = NETREP(nf);

    if (s->session &&
        haven_net_output(s->session, nf, flags, iov, iovcnt)) {
        return iov_size(iov, iovcnt);
    }
    return qemu_netfilter_pass_to_next(sender, flags, iov, iovcnt, nf);
}

void haven_nic_send(void *nic, unsigned flags, const uint8_t *data,
                    size_t bytes)
{
    NetFilterState *nf = nic;
    struct iovec iov = { .iov_base = (void *)data, .iov_len = bytes };

    if (nf->netdev) {
        qemu_netfilter_pass_to_next(nf->netdev->peer, flags, &iov, 1, nf);
    }
}

static void netrep_class_init(ObjectClass *oc, void *data)
{
    NETFILTER_CLASS(oc)->receive_iov = netrep_receive_iov;
}

static const TypeInfo netrep_info = {
    .name = TYPE_NETREP,
    .parent = TYPE_NETFILTER,
    .class_init = netrep_class_init,
    .instance_size = sizeof(NetRepState),
};

static void register_types(void)
{
    type_register_static(&netrep_info);
}

type_init(register_types);

/* --- The NICs of the guest --------------------------------------------- */

typedef struct InsertContext {
    HavenNics *nics;
    Error *err;
} InsertContext;

/* A filter between the guest and us must not send frames elsewhere. */
static bool check_filters(NetClientState *nc, Error **errp)
{
    NetFilterState *nf;

    QTAILQ_FOREACH(nf, &nc->peer->filters, next) {
        const char *type = object_get_typename(OBJECT(nf));

        if (strcmp(type, "filter-buffer") && strcmp(type, "filter-dump")) {
            error_setg(errp, "haven: NIC %s has a %s on netdev %s, which could "
                       "let frames out before their checkpoint; remove it",
                       nc->name, type, nc->peer->name);
            return false;
        }
    }
    return true;
}

static bool check_nic(NICState *nic, Error **errp)
{
    NetClientState *nc = qemu_get_queue(nic);
    NetClientState *peer = nc->peer;

    switch (peer->info->type) {
    case NET_CLIENT_DRIVER_VHOST_USER:
    case NET_CLIENT_DRIVER_VHOST_VDPA:
        error_setg(errp, "haven: the frames of NIC %s do not pass the device "
                   "model (netdev %s is of type %s); use another type of "
                   "netdev, such as tap", nc->name, peer->name,
                   NetClientDriver_str(peer->info->type));
        return false;
    default:
        break;
    }
    if (get_vhost_net(peer)) {
        error_setg(errp, "haven: the frames of NIC %s do not pass the device "
                   "model (netdev %s uses vhost); set vhost=off",
                   nc->name, peer->name);
        return false;
    }
    if (nic->conf->peers.queues > 1) {
        error_setg(errp, "haven: NIC %s has %d queues, which cannot be "
                   "buffered in order; set queues=1 on netdev %s",
                   nc->name, nic->conf->peers.queues, peer->name);
        return false;
    }
    return check_filters(nc, errp);
}

static void insert_one(NICState *nic, void *opaque)
{
    InsertContext *ctx = opaque;
    NetClientState *peer = qemu_get_queue(nic)->peer;
    Object *obj;

    /* A NIC without a netdev reaches nobody. */
    if (ctx->err || !peer || !check_nic(nic, &ctx->err)) {
        return;
    }
    obj = object_new(TYPE_NETREP);
    object_property_set_str(obj, "netdev", peer->name, &error_abort);
    object_property_set_str(obj, "queue", "rx", &error_abort);
    object_property_set_str(obj, "position", "head", &error_abort);
    if (!user_creatable_complete(USER_CREATABLE(obj), &ctx->err)) {
        error_prepend(&ctx->err, "haven: cannot hold the output of NIC %s: ",
                      qemu_get_queue(nic)->name);
        object_unref(obj);
        return;
    }
    g_ptr_array_add(ctx->nics->filters, obj);
    /* See netrep_receive_iov(): none may be in flight from before. */
    qemu_flush_or_purge_queued_packets(peer, true);
}

bool haven_nics_insert(HavenNics *nics, Error **errp)
{
    InsertContext ctx = { .nics = nics };

    nics->filters = g_ptr_array_new_with_free_func(object_unref);
    qemu_foreach_nic(insert_one, &ctx);
    if (ctx.err) {
        error_propagate(errp, ctx.err);
        haven_nics_remove(nics);
        return false;
    }
    return true;
}

void haven_nics_remove(HavenNics *nics)
{
    g_clear_pointer(&nics->filters, g_ptr_array_unref);
}

void haven_nics_set_session(HavenNics *nics, haven_session *session)
{
    for (guint i = 0; i < nics->filters->len; i++) {
        NETREP(g_ptr_array_index(nics->filters, i))->session = session;
    }
}
