/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CORE_ASSERT_H
#define HAVEN_CORE_ASSERT_H

/// For our own bugs only; input of a peer, a user or the system never reaches
/// it. Stays on in release builds: going on with broken invariants could
/// release output that no checkpoint covers.
#define HAVEN_ASSERT(condition) ((condition) ? (void)0 : ::haven::AssertFailed(#condition, __FILE__, __LINE__))

namespace haven {
[[noreturn]] void AssertFailed(const char* condition, const char* file, int line);
}

#endif
