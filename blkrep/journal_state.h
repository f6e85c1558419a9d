/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_JOURNAL_STATE_H
#define HAVEN_BLKREP_JOURNAL_STATE_H

#include <deque>
#include <string>

#include "blkrep/journal.h"
#include "blkrep/journal_format.h"

namespace haven::blkrep::journal {

/// What the records of a journal mean, one after the other. The same rules
/// when they are written and when they are read back. Callers serialise.
class State {
 public:
  State() = default;
  State(Epoch open_epoch, Epoch unapplied_epoch)
      : open_epoch_(open_epoch), unapplied_epoch_(unapplied_epoch), next_epoch_(open_epoch) {}

  /// @return why a record of this kind and epoch may not come now; empty: it may.
  std::string WhyNot(Kind kind, Epoch epoch) const;

  /// A record for which WhyNot() is empty.
  /// @param data_at, file  where the data of a write is.
  void Take(const RecordHeader& record, uint64_t data_at, uint8_t file);

  /// Requests that no commit covers, and those that are committed and not
  /// applied; both in order.
  const std::deque<Journal::Entry>& staged() const { return staged_; }
  const std::deque<Journal::Entry>& committed() const { return committed_; }
  /// Hands the committed requests out; their life goes on outside.
  std::deque<Journal::Entry> TakeCommitted();

  Epoch open_epoch() const { return open_epoch_; }            ///< lowest not committed
  Epoch unapplied_epoch() const { return unapplied_epoch_; }  ///< lowest not applied

 private:
  Epoch open_epoch_ = 0;
  Epoch unapplied_epoch_ = 0;
  Epoch next_epoch_ = 0;  ///< lowest that a request may have
  std::deque<Journal::Entry> staged_;
  std::deque<Journal::Entry> committed_;
};

}  // namespace haven::blkrep::journal

#endif
