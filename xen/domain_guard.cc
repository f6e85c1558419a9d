// SPDX-License-Identifier: GPL-2.0-or-later
#include "xen/domain_guard.h"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "xen/spawn_program.h"

namespace haven::xen {
namespace {

constexpr milliseconds kStartTime{10000};

}  // namespace

Result<std::unique_ptr<DomainGuard>> DomainGuard::Start(const std::string& program, uint32_t domid) {
  auto guard = std::unique_ptr<DomainGuard>(new DomainGuard());
  Status status = guard->Spawn(program, domid);
  if (status.ok()) status = guard->AwaitReady();
  if (!status.ok()) return status.With("cannot start " + program);
  return guard;
}

Status DomainGuard::Spawn(const std::string& program, uint32_t domid) {
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0) return Status::FromErrno(errno, "no pipe");
  watched_ = in[1];
  if (pipe2(out, O_CLOEXEC) != 0) {
    close(in[0]);
    return Status::FromErrno(errno, "no pipe");
  }
  said_ = out[0];

  Result<pid_t> started = xen::Spawn({{program, std::to_string(domid)}, in[0], out[1]});
  close(in[0]);
  close(out[1]);
  if (!started.ok()) return started.status();
  pid_ = started.value();
  return Status::Ok();
}

Status DomainGuard::AwaitReady() {
  const Instant deadline = SteadyClock::now() + kStartTime;
  std::string said;
  while (said != kGuardReady) {
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - SteadyClock::now()).count();
    pollfd waiting{said_, POLLIN, 0};
    if (left <= 0 || poll(&waiting, 1, static_cast<int>(left)) == 0) {
      kill(pid_, SIGKILL);
      return {StatusCode::kEnvironment, "it does not answer"};
    }
    char text[256];
    const ssize_t got = read(said_, text, sizeof(text));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return {StatusCode::kEnvironment, said.empty() ? "it ended at once" : said};
    said.append(text, static_cast<size_t>(got));
  }
  return Status::Ok();
}

DomainGuard::~DomainGuard() {
  if (pid_ > 0) {
    // A guard that has died already makes no SIGPIPE: QEMU and havend ignore it, others may not.
    struct sigaction ignore = {}, before;
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &ignore, &before);
    [[maybe_unused]] ssize_t told = write(watched_, &kGuardDone, 1);
    sigaction(SIGPIPE, &before, nullptr);
  }
  if (watched_ >= 0) close(watched_);
  if (said_ >= 0) close(said_);
  if (pid_ > 0) {
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

}  // namespace haven::xen
