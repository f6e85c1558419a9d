/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_BACKUP_DECISIONS_H
#define HAVEN_SESSION_BACKUP_DECISIONS_H

#include <memory>
#include <string>

#include "core/link.h"
#include "session/backup_situation.h"
#include "session/newer_wins.h"

namespace haven::session {

/// Whose data is newer, the primary's or what is here, and what persons decide about it.
/// Thread-safe; no lock is held by a caller.
class BackupDecisions {
 public:
  /// @param here  outlives this.
  explicit BackupDecisions(BackupSituation& here) : here_(here) {}

  /// May a primary that has this begin a session? As BackupSession::Events.
  Status OnIdentity(const wire::Identity& primary, wire::Identity& mine);
  /// A query connection whose HELLO came: answers it and its one question. Blocks for some seconds at most.
  void AnswerQuery(std::unique_ptr<Link> link);

  /// A person's words: see BackupGuest.
  Status Discard();
  Status Adopt();
  Result<std::string> DescribeCopy();
  Status Retire();

 private:
  using Rule = Ruling (*)(const wire::Identity& primary, const wire::Identity& backup);

  /// What this side has, as of now.
  Result<wire::Identity> Identify();
  /// The answer to a primary that asks on a query connection.
  Result<wire::Identity> Answer(const wire::Identity& primary);
  /// @param in_session  the primary's, which has begun; else no session may have.
  Ruling RuleAndLetGo(Rule rule, const wire::Identity& primary, wire::Identity& mine, bool in_session);
  /// While the caller decides.
  void DropCheckpoint(const std::string& why);
  /// Under the situation's mutex.
  Status RefuseWhileHolding() const;
  void Note(const wire::Identity& primary, const wire::Identity& mine, const std::string& refusal);

  BackupSituation& here_;
};

}  // namespace haven::session

#endif
