/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_EARLY_LOOKS_H
#define HAVEN_SESSION_EARLY_LOOKS_H

#include <array>
#include <optional>

#include "session/checkpointer.h"
#include "session/main_thread.h"
#include "session/memory_sender.h"
#include "session/policy/epoch_policy.h"
#include "session/primary_connection.h"

namespace haven::session {

/// When the pages of a large epoch are looked at before its pause, and some of them sent (early_pages.h). An epoch is
/// large when the one before was. Driver thread.
class EarlyLooks {
 public:
  /// @param from_pages  that make an epoch large.
  EarlyLooks(Checkpointer& checkpointer, MainThread& main, Clock& clock, uint64_t from_pages)
      : checkpointer_(checkpointer), main_(main), clock_(clock), from_pages_(from_pages) {}

  /// A connection begins. @param may  the backup understands it.
  void Begin(bool may, uint64_t guest_pages);
  /// An epoch begins in which the guest runs until `due`, if nothing ends it before.
  /// @param wanted  by the mode.
  void Plan(const EpochDue& due, Instant resumed, bool wanted);
  /// Those planned are left out: the epoch is about to end.
  void Cancel() { left_ = 0; }
  /// When the next one is due, if there is one.
  std::optional<Instant> next() const { return left_ == 0 ? std::nullopt : std::optional(looks_[kLooks - left_]); }
  /// What becomes of the record of written pages at this epoch's end, if it were `otherwise` without looks. A look is
  /// for what was written since the epoch before: nothing of that may be kept in the record.
  AfterHarvest After(AfterHarvest otherwise);
  Status Look(PrimaryConnection& connection, MemorySender& sender, Epoch epoch, const EpochDue& due);
  /// The epoch was cut. @param figures  of it; what was done before the pause is added.
  void Taken(EpochFigures& figures);

 private:
  Checkpointer& checkpointer_;
  MainThread& main_;
  Clock& clock_;
  const uint64_t from_pages_;
  bool may_ = false, wanted_ = false;
  bool forgotten_ = false;  ///< the record holds nothing of the epoch before
  uint64_t last_pages_ = 0, sent_ = 0;
  microseconds last_ran_{0}, looked_{0};
  uint64_t guest_pages_ = 0;
  static constexpr unsigned kLooks = 3;
  std::array<Instant, kLooks> looks_{};  ///< of this epoch; the last `left_` are to come
  unsigned left_ = 0;
};

}  // namespace haven::session

#endif
