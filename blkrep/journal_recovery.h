/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_JOURNAL_RECOVERY_H
#define HAVEN_BLKREP_JOURNAL_RECOVERY_H

#include <array>
#include <memory>
#include <string>

#include "blkrep/journal_segment.h"
#include "blkrep/journal_state.h"

namespace haven::blkrep::journal {

using Segments = std::array<std::unique_ptr<Segment>, 2>;

struct Recovered {
  State state;
  uint8_t active = 0;          ///< the segment that is written on
  uint64_t next_sequence = 0;  ///< of the next record
  /// The octet and sequence number behind the active segment's last mark:
  /// what follows is not committed.
  uint64_t mark_end = kFileHeaderBytes;
  uint64_t mark_sequence = 0;
  std::string damage;  ///< see Journal::Damage()
};

/// Finds out what two files hold, and begins the first if both are free.
/// Clears a file that does not count any more; cuts the end that does not check.
/// @return kInvalid if a record checks but no writer of this version could
///         have written it there; kEnvironment.
Result<Recovered> Recover(Segments& segments);

}  // namespace haven::blkrep::journal

#endif
