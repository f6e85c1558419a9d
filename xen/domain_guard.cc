// SPDX-License-Identifier: GPL-2.0-or-later
#include "xen/domain_guard.h"

#include <cerrno>
#include <csignal>
#include <unistd.h>

#include "core/clock.h"
#include "os/pipe.h"
#include "os/polling.h"
#include "os/spawn_program.h"

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
  os::Pipe in, out;
  if (!in.ok() || !out.ok()) return Status::FromErrno(errno, "no pipe");
  auto started = os::Spawn({{program, std::to_string(domid)}, in.read_end(), out.write_end()});
  if (!started.ok()) return started.status();
  process_ = std::move(started.value());
  watched_ = in.TakeWrite();
  said_ = out.TakeRead();
  return Status::Ok();
}

Status DomainGuard::AwaitReady() {
  const Instant deadline = SteadyClock::now() + kStartTime;
  std::string said;
  while (said != kGuardReady) {
    pollfd waiting{said_, POLLIN, 0};
    if (os::Poll(&waiting, 1, os::PollTimeout(deadline)) == 0) {
      kill(process_->pid(), SIGKILL);
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
  if (process_) {
    // A guard that has died already makes no SIGPIPE: QEMU and havend ignore it, others may not.
    struct sigaction ignore = {}, before;
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &ignore, &before);
    [[maybe_unused]] ssize_t told = write(watched_, &kGuardDone, 1);
    sigaction(SIGPIPE, &before, nullptr);
  }
  if (watched_ >= 0) close(watched_);
  if (said_ >= 0) close(said_);
  if (process_) process_->Wait();
}

}  // namespace haven::xen
