// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/guest_table.h"

#include <algorithm>

namespace haven::havend {

GuestTable::Slots::iterator GuestTable::Position(const std::string& name) {
  return std::find_if(slots_.begin(), slots_.end(), [&](const auto& slot) { return slot.first == name; });
}

GuestTable::Lease GuestTable::Find(const std::string& name) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [&] { return changing_ != name; });
  const auto found = Position(name);
  return found == slots_.end() ? nullptr : found->second.guest;
}

std::vector<GuestTable::Lease> GuestTable::All() {
  std::vector<Lease> all;
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [&] { return changing_.empty(); });
  for (const auto& [name, slot] : slots_) all.push_back(slot.guest);
  return all;
}

void GuestTable::BeginChange(const std::string& name) {
  Lease before;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (Position(name) == slots_.end()) slots_.emplace_back(name, Slot{});
    changing_ = name;
    before = std::move(Position(name)->second.guest);
  }
  before.reset();
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [&] { return !Position(name)->second.alive; });
}

void GuestTable::EndChange(Lease guest) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto slot = Position(changing_);
  if (guest) {
    slot->second.guest = std::move(guest);
  } else {
    slots_.erase(slot);
  }
  changing_.clear();
  changed_.notify_all();
}

GuestTable::Lease GuestTable::LeaseOn(std::unique_ptr<ServedGuest> guest) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    Position(changing_)->second.alive = true;
  }
  const std::string name = guest->name();
  return Lease(guest.release(), [this, name](ServedGuest* ended) {
    delete ended;
    Ended(name);
  });
}

void GuestTable::Ended(const std::string& name) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (const auto slot = Position(name); slot != slots_.end()) slot->second.alive = false;
  changed_.notify_all();
}

void GuestTable::Put(const std::string& name, const Make& make) {
  BeginChange(name);  // its files and processes are the next one's
  try {
    EndChange(LeaseOn(make()));
  } catch (...) {
    EndChange(nullptr);
    throw;
  }
}

void GuestTable::Remove(const std::string& name) {
  BeginChange(name);
  EndChange(nullptr);
}

void GuestTable::Clear() {
  Slots gone;
  std::lock_guard<std::mutex> lock(mutex_);
  gone.swap(slots_);
}

}  // namespace haven::havend
