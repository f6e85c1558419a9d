/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_RELOAD_H
#define HAVEN_HAVEND_RELOAD_H

#include <functional>
#include <string>
#include <vector>

#include "havend/config.h"
#include "havend/guest_table.h"

namespace haven::havend {

/// What came of reading the configuration again: a sentence for each guest or option that differs.
struct Reloaded {
  std::vector<std::string> done;
  std::vector<std::string> not_done;  ///< and why
};

/// Makes a guest, in the place of the one of that name if there is one. @param may_be_used  not Ok: why it may not.
using PutGuest = std::function<void(const GuestConfig& guest, const Status& may_be_used)>;

/// Reads the file of `running` again, and changes the guests to what it says: new ones are added, those that are gone
/// are removed, others are replaced. What is used now stays as it is: a guest that has a session, holds a checkpoint or
/// runs here, which haven status says of it then; and what the whole daemon depends on. One call at a time.
/// @return kInvalid or kEnvironment: the file is wrong, and nothing has changed.
Result<Reloaded> ReloadConfig(const Config& running, GuestTable& guests, const PutGuest& put);

}  // namespace haven::havend

#endif
