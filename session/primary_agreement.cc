// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/primary_agreement.h"

#include "session/newer_wins.h"

namespace haven::session {

Comparison CompareWithBackup(const PrimaryLinks& links, const PrimaryOptions& options, PrimaryLedger& ledger, bool held,
                             ConnectionEnd& end) {
  auto mine = ledger.Identify();
  if (!mine.ok()) {
    end = EndOf(mine.status());
    return {mine.status(), ""};
  }
  auto theirs = ExchangeIdentity(*links.control, mine.value(), options.connect.deadline, end);
  if (!theirs.ok()) return {theirs.status(), ""};
  const std::string newer = NewerSide(mine.value(), theirs.value());
  const Ruling ruling = RuleOnSession(mine.value(), theirs.value());
  if (ruling == Ruling::kGo) return {Status::Ok(), newer};
  // A copy whose output is still held has let nothing go that the newer one does not know: it is the
  // one that has lost. One that runs unprotected only stays so.
  const bool lost = ruling == Ruling::kBackupIsNewer && held;
  end = {lost ? ConnectionEnd::Kind::kPromoted : ConnectionEnd::Kind::kRefused,
         {StatusCode::kRefused, Explain(ruling, options.connect.guest, mine.value(), theirs.value())}};
  return {end.status, newer};
}

Status TellMachine(const PrimaryLinks& links, const PrimaryOptions& options, ConnectionEnd& end) {
  if (options.machine.empty() || (links.features & wire::kFeatureMachine) == 0) return Status::Ok();
  Status sent = links.control->Send(wire::Type::kMachine, kSyncEpoch, wire::Encode(wire::Machine{options.machine}));
  if (!sent.ok()) end = EndOf(sent);
  return sent;
}

Status RecordSession(const PrimaryLinks& links, const PrimaryOptions& options, PrimaryLedger& ledger,
                     ConnectionEnd& end) {
  blkrep::GuestRecord how;
  how.session = links.token;
  how.backup_host = options.connect.host;
  how.backup_port = options.connect.port;
  how.arbiter = options.arbiter;
  how.start_wait_s = options.start_wait_s;
  how.on_start = options.on_start;
  Status recorded = ledger.BeginSession(how);
  if (!recorded.ok()) end = EndOf(recorded.With("nothing would say which copy is newer"));
  return recorded;
}

}  // namespace haven::session
