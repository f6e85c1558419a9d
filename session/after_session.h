/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_AFTER_SESSION_H
#define HAVEN_SESSION_AFTER_SESSION_H

namespace haven::session {

/// What a backup knows when a session with its primary is over.
struct SessionEnd {
  /// What the primary has said of it.
  enum class Said {
    kNothing,     ///< it was cut, or ended with an error on either side
    kGoodbye,     ///< protection ends, or the guest was powered off
    kHandedOver,  ///< the guest is stopped there, and goes on where the backup says
  };
  /// What is here.
  enum class Copy {
    kNone,     ///< the session brought nothing, and there was nothing before
    kEarlier,  ///< the session brought nothing: what was here before still counts, or why that primary was refused
    kBroken,   ///< the session's, but the replicas are not those of its last epoch
    kPartial,  ///< the session's, without a checkpoint
    kWhole,    ///< the session's, with a checkpoint that the guest can go on from
  };
  Said said = Said::kNothing;
  Copy copy = Copy::kNone;
  bool silent = false;         ///< the primary is gone: silence, or the end of its stream; else a reason is known
  bool auto_promote = false;   ///< the administrator has allowed that silence alone decides
  bool shutting_down = false;  ///< this program ends
  bool stood_still = false;    ///< this side shortly before: the silence may be its own
  bool arbiter = false;        ///< one is asked before the guest is started
};

enum class AfterSession {
  kLeave,           ///< all stays as it was
  kWait,            ///< for another primary: a failover is not possible
  kHold,            ///< the checkpoint is kept for a person, or for the primary when it comes back
  kPromote,         ///< as soon as the arbiter, if any, allows it
  kListenFirst,     ///< held for some deadlines; then kPromote, unless the primary was heard of
  kTakeOver,        ///< start the guest and tell the primary so
  kRefuseHandOver,  ///< tell the primary that the guest goes on there
};

/// Whether the guest is started here, and what becomes of the copy. Pure; any thread.
AfterSession DecideAfterSession(const SessionEnd& end);

}  // namespace haven::session

#endif
