/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What makes a guest impossible to replicate, apart from its disks and NICs. */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "block/blockjob.h"
#include "sysemu/kvm.h"
#include "sysemu/xen.h"
#include "migration/migration.h"
#include "migration/misc.h"
#include "sysemu/replay.h"
#include "sysemu/runstate.h"
#include "haven-int.h"
#include "haven-xen.h"

static bool check_jobs(Error **errp)
{
    BlockJob *job;

    JOB_LOCK_GUARD();
    job = block_job_next_locked(NULL);
    if (job) {
        error_setg(errp, "haven: block job %s is running; wait for its end or "
                   "cancel it", job->job.id ? job->job.id : "(internal)");
        return false;
    }
    return true;
}

bool haven_check_guest(Error **errp)
{
    if (!runstate_check(RUN_STATE_RUNNING) &&
        !runstate_check(RUN_STATE_PAUSED)) {
        error_setg(errp, "haven: the guest is neither running nor paused; "
                   "query-status says what it waits for");
        return false;
    }
    if (kvm_enabled()) {
        error_setg(errp, "haven: what a guest under KVM writes to its memory "
                   "is not known here; start it with -accel tcg, or under Xen");
        return false;
    }
    if (xen_enabled() && !haven_domain_check(errp)) {
        return false;
    }
    if (replay_mode != REPLAY_MODE_NONE) {
        error_setg(errp, "haven: a guest under record/replay cannot be "
                   "replicated; start it without rr=");
        return false;
    }
    if (!migration_is_idle()) {
        error_setg(errp, "haven: a migration is running; wait for its end or "
                   "cancel it");
        return false;
    }
    if (migration_is_blocked(errp)) {
        error_prepend(errp, "haven: the state of this guest cannot be saved: ");
        return false;
    }
    return check_jobs(errp) && haven_devices_check(errp);
}
