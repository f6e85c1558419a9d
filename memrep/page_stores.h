/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_MEMREP_PAGE_STORES_H
#define HAVEN_MEMREP_PAGE_STORES_H

#include <map>
#include <string>
#include <utility>

#include "core/threads.h"
#include "memrep/page_store.h"

namespace haven::memrep {

/// The stores of a backup, one for each group of guests and host they come
/// from. Made when the first session asks, gone with the last. Thread-safe.
class PageStores {
 public:
  /// @param slots  of each.
  explicit PageStores(uint32_t slots) : slots_(slots) {}

  /// @param group  from the backup's configuration.
  /// @param host   as the primary says: names one run of its host.
  Result<std::unique_ptr<StoreLease>> Lease(const std::string& group, const wire::Token& host);

 private:
  const uint32_t slots_;
  Mutex mutex_;  ///< guards what follows
  std::map<std::pair<std::string, wire::Token>, std::weak_ptr<PageStore>> stores_;
};

}  // namespace haven::memrep

#endif
