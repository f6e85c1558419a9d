// SPDX-License-Identifier: GPL-2.0-or-later
// haven-domain-guard DOMID: see xen/domain_guard.h.
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <syslog.h>
#include <unistd.h>

#include "xen/domain_guard.h"
#include "xen/libxc_hypervisor.h"

namespace {

using namespace haven;
using namespace haven::xen;

/// @return whether the guarded process said that it needs no guard any more;
///         else it has died.
bool WatchUntilEnd() {
  char byte = 0, last = 0;
  while (true) {
    const ssize_t got = read(STDIN_FILENO, &byte, 1);
    if (got > 0) {
      last = byte;
    } else if (got == 0 || errno != EINTR) {
      return last == kGuardDone;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  char* end = nullptr;
  const unsigned long domid = argc == 2 ? strtoul(argv[1], &end, 10) : 0;
  if (domid == 0 || domid > 0x7fef || *end != '\0') {
    fprintf(stderr, "usage: haven-domain-guard DOMID\nStarted by the device model of a protected domain.\n");
    return 2;
  }
  auto domain = OpenLibxc(static_cast<uint32_t>(domid));
  if (!domain.ok()) {
    printf("%s", domain.status().message().c_str());
    return 1;
  }
  fputs(kGuardReady, stdout);
  fflush(stdout);
  if (WatchUntilEnd()) return 0;
  const Status stopped = PauseForGood(*domain.value());
  openlog("haven-domain-guard", LOG_PID, LOG_DAEMON);
  if (stopped.ok()) {
    syslog(LOG_CRIT, "the device model of domain %lu has died; the domain is paused, since its backup goes on", domid);
  } else {
    // As it is when xl has destroyed the domain.
    syslog(LOG_INFO, "the device model of domain %lu has ended, and the domain, too", domid);
  }
  return 0;
}
