// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/status.h"

#include <cstring>

namespace haven {

Status Status::FromErrno(int error, const std::string& what) {
  return {StatusCode::kEnvironment, what + ": " + strerror(error)};
}

Status Status::With(const std::string& fact) const {
  if (ok()) return *this;
  return {code_, fact + ": " + message_};
}

Status Status::AfterTry(const Status& first) const {
  if (ok() || first.message_ == message_) return *this;
  return {code_, message_ + "; at the first try: " + first.message_};
}

}  // namespace haven
