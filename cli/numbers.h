/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CLI_NUMBERS_H
#define HAVEN_CLI_NUMBERS_H

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/status.h"

namespace haven::cli {

inline Status SetNumber(uint32_t& out, const std::string& value, uint32_t least, uint32_t most) {
  errno = 0;
  bool digits = !value.empty() && value.find_first_not_of("0123456789") == std::string::npos;
  unsigned long number = strtoul(value.c_str(), nullptr, 10);
  if (!digits || errno != 0 || number < least || number > most) {
    return {StatusCode::kInvalid, "must be a whole number from " + std::to_string(least) + " to " +
                                      std::to_string(most) + ", not '" + value + "'"};
  }
  out = static_cast<uint32_t>(number);
  return Status::Ok();
}

}  // namespace haven::cli

#endif
