// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/random_token.h"

#include <sys/random.h>

#include "core/assert.h"

namespace haven {

wire::Token RandomToken() {
  wire::Token token;
  HAVEN_ASSERT(getrandom(token.data(), token.size(), 0) == static_cast<ssize_t>(token.size()));
  return token;
}

std::string Hex(const wire::Token& token) {
  static const char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (uint8_t byte : token) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

}  // namespace haven
