// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/arbiter.h"

#include <glib.h>
#include <string_view>
#include <sys/wait.h>

#include "core/failpoint.h"

namespace haven::session {
namespace {

struct StringsDeleter {
  void operator()(gchar** strings) const { g_strfreev(strings); }
};
using Strings = std::unique_ptr<gchar*, StringsDeleter>;

Status FromGError(GError* error, const std::string& what) {
  Status status(StatusCode::kEnvironment, what + ": " + error->message);
  g_error_free(error);
  return status;
}

class Command final : public Arbiter {
 public:
  explicit Command(std::string command) : command_(std::move(command)) {}
  Status Ask(const std::string& guest, const std::string& instance, const char* role) override;

 private:
  const std::string command_;
};

Status Command::Ask(const std::string& guest, const std::string& instance, const char* role) {
  GError* error = nullptr;
  gchar** words = nullptr;
  if (!g_shell_parse_argv(command_.c_str(), nullptr, &words, &error)) {
    return FromGError(error, "the arbiter command '" + command_ + "' cannot be understood");
  }
  Strings argv(words);
  gchar** environment = g_get_environ();
  environment = g_environ_setenv(environment, "HAVEN_GUEST", guest.c_str(), TRUE);
  environment = g_environ_setenv(environment, "HAVEN_INSTANCE", instance.c_str(), TRUE);
  environment = g_environ_setenv(environment, "HAVEN_ROLE", role, TRUE);
  Strings env(environment);
  int wait_status = 0;
  auto flags = static_cast<GSpawnFlags>(G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL);
  if (!g_spawn_sync(nullptr, argv.get(), env.get(), flags, nullptr, nullptr, nullptr, nullptr, &wait_status, &error)) {
    return FromGError(error, "the arbiter command cannot be run");
  }
  if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0) return Status::Ok();
  if (WIFEXITED(wait_status)) {
    return {StatusCode::kRefused, "the arbiter ended with status " + std::to_string(WEXITSTATUS(wait_status))};
  }
  return {StatusCode::kEnvironment, "the arbiter was killed by signal " + std::to_string(WTERMSIG(wait_status))};
}

}  // namespace

ArbiterChoice::ArbiterChoice(std::string command)
    : arbiter_(command.empty() ? nullptr : std::make_shared<Command>(command)), command_(std::move(command)) {}

Status AskArbiter(const ArbiterChoice& arbiter, const std::string& guest, const std::string& instance,
                  const char* role) {
  if (arbiter.empty()) return {StatusCode::kEnvironment, "there is no arbiter"};
  if (std::string_view(role) == "primary" && BreakRequested("second-copy-after-thaw")) return Status::Ok();
  return (*arbiter).Ask(guest, instance, role);
}

}  // namespace haven::session
