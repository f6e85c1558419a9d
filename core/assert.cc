// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/assert.h"

#include <cstdio>
#include <cstdlib>

namespace haven {

void AssertFailed(const char* condition, const char* file, int line) {
  fprintf(stderr, "haven: bug: %s does not hold at %s:%d\n", condition, file, line);
  abort();
}

}  // namespace haven
