// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/arbiter.h"

#include <cerrno>
#include <fcntl.h>
#include <glib.h>
#include <string_view>
#include <unistd.h>
#include <vector>

#include "core/failpoint.h"
#include "os/spawn_program.h"

namespace haven::session {
namespace {

constexpr milliseconds kLook{50};
constexpr int kLost = 1;

struct StringsDeleter {
  void operator()(gchar** strings) const { g_strfreev(strings); }
};
using Strings = std::unique_ptr<gchar*, StringsDeleter>;

std::vector<std::string> Copy(gchar** strings) { return {strings, strings + g_strv_length(strings)}; }

Status FromGError(GError* error, const std::string& what) {
  Status status(StatusCode::kEnvironment, what + ": " + error->message);
  g_error_free(error);
  return status;
}

class Command final : public Arbiter {
 public:
  Command(std::string command, milliseconds limit) : command_(std::move(command)), limit_(limit) {}
  Status Ask(const std::string& guest, const std::string& instance, const char* role, const GivenUp& given_up) override;

 private:
  Result<std::unique_ptr<os::Process>> Start(const std::string& guest, const std::string& instance, const char* role);

  const std::string command_;
  const milliseconds limit_;
};

Status Command::Ask(const std::string& guest, const std::string& instance, const char* role, const GivenUp& given_up) {
  auto started = Start(guest, instance, role);
  if (!started.ok()) return started.status();
  os::Process& process = *started.value();
  const Instant limit = SteadyClock::now() + limit_;
  while (!process.WaitForEnd(kLook)) {
    const bool late = SteadyClock::now() >= limit;
    if (!late && !given_up()) continue;
    process.KillSession();
    if (!late) return {StatusCode::kEnvironment, "the arbiter was not waited for any longer"};
    return {StatusCode::kEnvironment, "the arbiter did not answer within " + std::to_string(limit_.count()) + " ms"};
  }
  if (process.Succeeded()) return Status::Ok();
  const std::string ended = "the arbiter " + process.HowItEnded();
  if (process.exit_status() == kLost) return {StatusCode::kRefused, ended};
  return {StatusCode::kEnvironment, ended + ", which is no verdict (0: this side has won, 1: it has lost)"};
}

Result<std::unique_ptr<os::Process>> Command::Start(const std::string& guest, const std::string& instance,
                                                    const char* role) {
  GError* error = nullptr;
  gchar** words = nullptr;
  if (!g_shell_parse_argv(command_.c_str(), nullptr, &words, &error)) {
    return FromGError(error, "the arbiter command '" + command_ + "' cannot be understood");
  }
  const Strings argv(words);
  gchar** environment = g_get_environ();
  environment = g_environ_setenv(environment, "HAVEN_GUEST", guest.c_str(), TRUE);
  environment = g_environ_setenv(environment, "HAVEN_INSTANCE", instance.c_str(), TRUE);
  environment = g_environ_setenv(environment, "HAVEN_ROLE", role, TRUE);
  const Strings env(environment);
  const std::unique_ptr<gchar, decltype(&g_free)> program(g_find_program_in_path(argv.get()[0]), g_free);
  if (!program) return Status(StatusCode::kEnvironment, std::string("there is no arbiter command ") + argv.get()[0]);
  os::SpawnPlan plan{Copy(argv.get()), -1, -1};
  plan.argv[0] = program.get();
  plan.environment = Copy(env.get());
  plan.in = plan.out = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (plan.in < 0) return Status::FromErrno(errno, "the arbiter command cannot be run: /dev/null");
  auto started = os::Spawn(plan);
  close(plan.in);
  if (!started.ok()) return started.status().With("the arbiter command cannot be run");
  return started;
}

}  // namespace

ArbiterChoice::ArbiterChoice(std::string command, milliseconds limit)
    : arbiter_(command.empty() ? nullptr : std::make_shared<Command>(command, limit)), command_(std::move(command)) {}

Status AskArbiter(const ArbiterChoice& arbiter, const std::string& guest, const std::string& instance, const char* role,
                  const Arbiter::GivenUp& given_up) {
  if (arbiter.empty()) return {StatusCode::kEnvironment, "there is no arbiter"};
  if (std::string_view(role) == "primary" && BreakRequested("second-copy-after-thaw")) return Status::Ok();
  const Status verdict = (*arbiter).Ask(guest, instance, role, given_up);
  if (verdict.code() == StatusCode::kEnvironment) {
    if (BreakRequested("unknown-is-won")) return Status::Ok();
    if (BreakRequested("unknown-is-lost")) return {StatusCode::kRefused, verdict.message()};
  }
  return verdict;
}

}  // namespace haven::session
