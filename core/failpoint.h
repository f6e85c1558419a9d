/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CORE_FAILPOINT_H
#define HAVEN_CORE_FAILPOINT_H

namespace haven {

// Test hook: HAVEN_KILL_AT=POINT[:N] in the environment makes this process
// kill itself with SIGKILL when it reaches POINT for the N-th time (default
// 20) after ArmFailPoints(). SIGKILL, so that nothing can be flushed, closed
// or said on the way: the peer sees what it sees when a host dies.
// With HAVEN_KILL_PIDFILE=FILE, the process whose number is in FILE is killed
// instead: a peer dies at a chosen step of this side.

namespace internal {
extern const bool g_fail_points_wanted;
void ReachFailPoint(const char* name);
}  // namespace internal

/// Any thread. Costs one predicted branch when HAVEN_KILL_AT is not set.
/// @param name  a string literal, e.g. "before-stop".
inline void FailPoint(const char* name) {
  if (__builtin_expect(internal::g_fail_points_wanted, 0)) internal::ReachFailPoint(name);
}

/// Counting begins: call it after the first commit. Any thread, any number of times.
void ArmFailPoints();

/// Whether HAVEN_BREAK=`what` is in the environment: breaks an invariant on
/// purpose, so that the end-to-end tests can show that they would notice.
/// Any thread; a string comparison.
bool BreakRequested(const char* what);

/// What HAVEN_KILL_AT asks for.
struct FailPointSpec {
  char point[64] = {};
  unsigned long count = 0;  ///< 0: `text` is malformed
};

/// Parses POINT[:N], N from 1. Pure; any thread.
FailPointSpec ParseFailPoint(const char* text);

}  // namespace haven

#endif
