/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_EARLY_PAGES_H
#define HAVEN_SESSION_EARLY_PAGES_H

#include <cstdint>
#include <vector>

#include "memrep/page_snapshot.h"

namespace haven::session {

/// By region, a bit for each page.
using PageSets = std::vector<std::vector<uint64_t>>;

/// Which pages of an epoch travel before its pause. The guest's record of written pages is looked at while it runs;
/// what is not expected to be written again in this epoch is sent at once, the rest is kept for the pause. What is
/// expected of a page is what it did after the last look in which it was found: it was written again before the
/// pause, or not. Callers serialise.
///
/// Source: the prediction of VPC.
class EarlyPages {
 public:
  explicit EarlyPages(const std::vector<memrep::MemoryRegion>& regions);

  /// A look: `written` are the pages written since the last one, or since the epoch began.
  /// @param written  afterwards those to be sent now.
  void Look(PageSets& written);
  /// Keeps for the pause what was to be sent, and was not.
  void Keep(const PageSets& pages);
  /// The pause: the epoch's looks are over.
  /// @param written  since the last look; afterwards all that the pause has to copy.
  void End(PageSets& written);
  /// What was sent is not known to have arrived: nothing is kept. What is expected stays.
  void Forget();

 private:
  PageSets again_;  ///< expected to be written again
  PageSets found_;  ///< in a look of this epoch
  PageSets kept_;   ///< found, and not sent
  bool looked_ = false;
};

}  // namespace haven::session

#endif
