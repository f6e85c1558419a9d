/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_GUEST_TABLE_H
#define HAVEN_HAVEND_GUEST_TABLE_H

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "havend/served_guest.h"

namespace haven::havend {

/// The guests of this daemon, by name, while a reload changes them. Whoever has a lease keeps its guest from ending;
/// who asks for one that is being replaced waits for the next. Any thread; Put() and Remove() one at a time.
class GuestTable {
 public:
  /// Its end is before that of the table.
  using Lease = std::shared_ptr<ServedGuest>;
  using Make = std::function<std::unique_ptr<ServedGuest>()>;

  /// @return nullptr when there is none of that name.
  Lease Find(const std::string& name);
  std::vector<Lease> All();

  /// Ends the one of that name, if there is one, once all of its leases were returned; then makes the next, in its
  /// place or behind the others. When this throws there is none of that name any more.
  void Put(const std::string& name, const Make& make);
  void Remove(const std::string& name);
  void Clear();

 private:
  struct Slot {
    Lease guest;         ///< none while it is replaced
    bool alive = false;  ///< one has not ended yet
  };
  using Slots = std::vector<std::pair<std::string, Slot>>;

  Slots::iterator Position(const std::string& name);
  /// From here to EndChange() there is none of that name, and who asks for it waits.
  void BeginChange(const std::string& name);
  /// @param guest  none: the name goes.
  void EndChange(Lease guest);
  /// Its end is noticed. @param guest  of the name that is being changed.
  Lease LeaseOn(std::unique_ptr<ServedGuest> guest);
  void Ended(const std::string& name);

  std::mutex mutex_;  ///< guards what follows
  std::condition_variable changed_;
  Slots slots_;
  std::string changing_;  ///< the name of the one that is being replaced; empty: none is
};

}  // namespace haven::havend

#endif
