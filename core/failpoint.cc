/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "core/failpoint.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

namespace haven {

namespace {

constexpr unsigned long kDefaultCount = 20;

std::atomic<bool> g_armed{false};
std::atomic<unsigned long> g_reached{0};

/// Packages are built without the test hooks: an environment variable must not
/// be able to switch off what protects a guest.
const char* TestEnvironment(const char* name) {
#ifdef HAVEN_FAILPOINTS
  return getenv(name);
#else
  (void)name;
  return nullptr;
#endif
}

/// A typing error in a test must not look like a guest that survived.
FailPointSpec ParseEnvironmentOrExit() {
  const char* text = TestEnvironment("HAVEN_KILL_AT");
  if (text == nullptr || *text == '\0') return {};
  FailPointSpec spec = ParseFailPoint(text);
  if (spec.count == 0) {
    fprintf(stderr, "HAVEN_KILL_AT=%s: must be POINT or POINT:N with N from 1\n", text);
    _exit(2);
  }
  return spec;
}

const FailPointSpec& Wanted() {
  static const FailPointSpec spec = ParseEnvironmentOrExit();
  return spec;
}

/// @return whether this process goes on.
bool KillVictim() {
  pid_t victim = getpid();
  if (const char* path = TestEnvironment("HAVEN_KILL_PIDFILE")) {
    long pid = 0;
    FILE* file = fopen(path, "re");
    bool read = file != nullptr && fscanf(file, "%ld", &pid) == 1 && pid > 1;
    if (file != nullptr) fclose(file);
    if (!read) {
      fprintf(stderr, "HAVEN_KILL_PIDFILE=%s: no process number in it\n", path);
      _exit(2);
    }
    victim = static_cast<pid_t>(pid);
  }
  kill(victim, SIGKILL);
  return victim != getpid();
}

}  // namespace

namespace internal {

const bool g_fail_points_wanted = Wanted().count != 0;

void ReachFailPoint(const char* name) {
  if (!g_armed.load(std::memory_order_relaxed)) return;
  const FailPointSpec& wanted = Wanted();
  if (strcmp(wanted.point, name) != 0) return;
  if (g_reached.fetch_add(1, std::memory_order_relaxed) + 1 == wanted.count) {
    if (KillVictim()) return;
    // The signal may be delivered to another thread first; go no further.
    for (;;) pause();
  }
}

}  // namespace internal

void ArmFailPoints() { g_armed.store(true, std::memory_order_relaxed); }

bool BreakRequested(const char* what) {
  static const char* wanted = TestEnvironment("HAVEN_BREAK");
  return wanted != nullptr && strcmp(wanted, what) == 0;
}

FailPointSpec ParseFailPoint(const char* text) {
  FailPointSpec spec;
  const char* colon = strchr(text, ':');
  size_t length = colon != nullptr ? static_cast<size_t>(colon - text) : strlen(text);
  if (length == 0 || length >= sizeof(spec.point)) return {};
  memcpy(spec.point, text, length);
  spec.count = kDefaultCount;
  if (colon != nullptr) {
    char* end = nullptr;
    errno = 0;
    spec.count = strtoul(colon + 1, &end, 10);
    if (colon[1] < '0' || colon[1] > '9' || *end != '\0' || errno != 0) return {};
  }
  return spec;
}

}  // namespace haven
