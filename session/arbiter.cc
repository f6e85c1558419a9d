// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/arbiter.h"

#include <glib.h>
#include <memory>
#include <sys/wait.h>

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

}  // namespace

Status AskArbiter(const std::string& command, const std::string& guest, const std::string& instance, const char* role) {
  GError* error = nullptr;
  gchar** words = nullptr;
  if (!g_shell_parse_argv(command.c_str(), nullptr, &words, &error)) {
    return FromGError(error, "the arbiter command '" + command + "' cannot be understood");
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

}  // namespace haven::session
