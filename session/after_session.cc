// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/after_session.h"

namespace haven::session {

AfterSession DecideAfterSession(const SessionEnd& end) {
  using Said = SessionEnd::Said;
  using Copy = SessionEnd::Copy;
  const bool whole = end.copy == Copy::kWhole;
  // The primary waits for an answer, whatever happens here.
  if (end.said == Said::kHandedOver) {
    return whole && !end.shutting_down ? AfterSession::kTakeOver : AfterSession::kRefuseHandOver;
  }
  if (end.shutting_down) return AfterSession::kLeave;
  if (end.said == Said::kGoodbye) return AfterSession::kWait;
  // Without a LAYOUT nothing has changed, except that the primary was alive
  // after the checkpoint that is held here: no reason to start from it.
  if (end.copy == Copy::kEarlier) return AfterSession::kLeave;
  if (!whole) return AfterSession::kWait;
  if (!end.silent || !end.auto_promote) return AfterSession::kHold;
  // The primary may have counted this side as lost meanwhile, and have said so to nobody.
  return end.stood_still && !end.arbiter ? AfterSession::kListenFirst : AfterSession::kPromote;
}

}  // namespace haven::session
