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

}  // namespace haven
