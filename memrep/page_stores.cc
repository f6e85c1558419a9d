// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/page_stores.h"

namespace haven::memrep {

Result<std::unique_ptr<StoreLease>> PageStores::Lease(const std::string& group, const wire::Token& host) {
  std::lock_guard lock(mutex_);
  std::erase_if(stores_, [](const auto& entry) { return entry.second.expired(); });
  auto& place = stores_[{group, host}];
  std::shared_ptr<PageStore> store = place.lock();
  if (!store) {
    auto created = PageStore::Create(slots_);
    if (!created.ok()) return created.status();
    store = std::move(created.value());
    place = store;
  }
  return store->Lease();
}

}  // namespace haven::memrep
