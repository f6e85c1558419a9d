/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_PRIMARY_AGREEMENT_H
#define HAVEN_SESSION_PRIMARY_AGREEMENT_H

#include <string>

#include "session/primary_ledger.h"
#include "session/primary_options.h"

namespace haven::session {

/// What comes of comparing whose data is newer.
struct Comparison {
  Status status;      ///< not Ok: nothing may be copied, `end` is filled
  std::string newer;  ///< NewerSide(); empty: nothing was compared
};

/// Before LAYOUT; driver thread.
/// @param held  this copy's output waits: it has let nothing go that the backup does not know.
Comparison CompareWithBackup(const PrimaryLinks& links, const PrimaryOptions& options, PrimaryLedger& ledger, bool held,
                             ConnectionEnd& end);

/// Before LAYOUT: what the backup is to compare its own machine with; nothing if one of both cannot. Driver thread.
/// @return not Ok: `end` is filled.
Status TellMachine(const PrimaryLinks& links, const PrimaryOptions& options, ConnectionEnd& end);

/// The backup has accepted the guest: from now on a record says so. Driver thread.
/// @return not Ok: nothing may be copied, `end` is filled.
Status RecordSession(const PrimaryLinks& links, const PrimaryOptions& options, PrimaryLedger& ledger,
                     ConnectionEnd& end);

}  // namespace haven::session

#endif
