/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <getopt.h>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/guarded.h"
#include "havend/daemon.h"
#include "havend/daemonize.h"
#include "havend/log.h"
#include "os/own_limits.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unversioned"
#endif

namespace haven::havend {

namespace {

constexpr char kUsage[] =
    "Usage: havend [--config FILE] [--foreground]\n"
    "Keeps copies of guests that run on another host, and runs them here when that\n"
    "host is gone.\n"
    "\n"
    "  -c, --config FILE   the configuration (default /etc/haven/havend.conf)\n"
    "  -f, --foreground    stay in the foreground and log to standard error;\n"
    "                      without it the log goes to STATE-DIR/havend.log\n"
    "      --check         read the configuration, say whether it is right, end\n"
    "  -h, --help          show this\n"
    "  -V, --version       show the version\n"
    "\n"
    "See havend(8) and havend.conf(5).\n";

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

struct Options {
  std::string config = "/etc/haven/havend.conf";
  bool foreground = false;
  bool check = false;
};

/// @return -1: go on; else the exit status.
int ParseOptions(int argc, char** argv, Options& options) {
  enum { kCheck = 256 };
  static const option kLong[] = {{"config", required_argument, nullptr, 'c'}, {"foreground", no_argument, nullptr, 'f'},
                                 {"check", no_argument, nullptr, kCheck},     {"help", no_argument, nullptr, 'h'},
                                 {"version", no_argument, nullptr, 'V'},      {nullptr, 0, nullptr, 0}};
  for (;;) {
    switch (getopt_long(argc, argv, "c:fhV", kLong, nullptr)) {
      case 'c': options.config = optarg; break;
      case 'f': options.foreground = true; break;
      case kCheck: options.check = true; break;
      case 'h': fputs(kUsage, stdout); return 0;
      case 'V': printf("havend %s\n", PACKAGE_VERSION); return 0;
      case -1:
        if (optind == argc) return -1;
        fprintf(stderr, "havend: '%s' is not understood; see havend --help\n", argv[optind]);
        return kExitUsage;
      default: fputs("See havend --help\n", stderr); return kExitUsage;
    }
  }
}

/// Tells systemd, when it asked to be told, that havend listens.
void NotifyReady() {
  const char* path = getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path == nullptr || strlen(path) < 2 || strlen(path) >= sizeof(address.sun_path)) return;
  memcpy(address.sun_path, path, strlen(path));
  if (path[0] == '@') address.sun_path[0] = '\0';
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  const char ready[] = "READY=1";
  socklen_t length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + strlen(path));
  sendto(fd, ready, sizeof(ready) - 1, MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address), length);
  close(fd);
}

/// Blocks the signals that end havend, for every thread that is started later.
sigset_t BlockEndSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return set;
}

void RunUntilSignal(Daemon& daemon, const sigset_t& signals) {
  // States are read, not pushed: a log line may be this late.
  constexpr timespec kLogPeriod{0, 200 * 1000 * 1000};
  for (;;) {
    int signal = sigtimedwait(&signals, nullptr, &kLogPeriod);
    (void)Guarded([&] {
      daemon.LogChanges();
      return signal == SIGHUP ? daemon.Reload().status() : Status::Ok();  // which logs what came of it
    });
    if (signal == SIGTERM || signal == SIGINT) return;
  }
}

int Run(const Options& options, const Config& config) {
  Daemonizer daemonizer;
  if (!options.foreground) {
    Status status = daemonizer.Detach(config.state_dir, config.state_dir + "/havend.log");
    if (!status.ok()) {
      fprintf(stderr, "havend: %s\n", status.message().c_str());
      return kExitFailed;
    }
  }
  const os::OwnLimits limits;
  if (!limits.status().ok()) Log(limits.status().message());
  sigset_t signals = BlockEndSignals();
  auto daemon = Daemon::Start(config);
  if (!daemon.ok()) {
    daemonizer.Report(daemon.status().message());
    Log(daemon.status().message());
    return kExitFailed;
  }
  daemonizer.Report("");
  NotifyReady();
  Log("havend " PACKAGE_VERSION " listens on " + config.host + " port " + config.port + " for " +
      std::to_string(config.guests.size()) + (config.guests.size() == 1 ? " guest" : " guests"));
  RunUntilSignal(*daemon.value(), signals);
  Log("havend ends; guests that run here go on");
  daemon.value().reset();
  return 0;
}

int Main(int argc, char** argv) {
  Options options;
  int status = ParseOptions(argc, argv, options);
  if (status >= 0) return status;
  Result<Config> config = LoadConfig(options.config);
  if (!config.ok()) {
    fprintf(stderr, "havend: %s\n", config.status().message().c_str());
    return kExitFailed;
  }
  if (options.check) {
    printf("%s is right: %zu guest(s)\n", options.config.c_str(), config.value().guests.size());
    return 0;
  }
  return Run(options, config.value());
}

}  // namespace

}  // namespace haven::havend

int main(int argc, char** argv) { return haven::havend::Main(argc, argv); }
