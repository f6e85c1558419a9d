// SPDX-License-Identifier: GPL-2.0-or-later
#include "os/spawn_program.h"

#include <csignal>
#include <spawn.h>
#include <unistd.h>

#include "os/own_limits.h"

namespace haven::os {
namespace {

/// As execve() takes them. The strings stay where they are.
std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& one : strings) pointers.push_back(const_cast<char*>(one.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

Result<std::unique_ptr<Process>> Spawn(const SpawnPlan& plan) {
  const std::vector<char*> argv = Pointers(plan.argv), environment = Pointers(plan.environment);

  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, plan.in, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, plan.out, STDOUT_FILENO);
  if (plan.error >= 0) posix_spawn_file_actions_adddup2(&files, plan.error, STDERR_FILENO);
  // To the same number: only takes away that it closes when the program is executed.
  if (plan.keep >= 0) posix_spawn_file_actions_adddup2(&files, plan.keep, plan.keep);

  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t all, none;
  sigfillset(&all);
  sigemptyset(&none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setsigmask(&attributes, &none);
  // What ends this process's group must not end the program, too.
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);

  pid_t pid = -1;
  int error = posix_spawn(&pid, argv[0], &files, &attributes, argv.data(),
                          plan.environment.empty() ? environ : environment.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) return Status::FromErrno(error, "cannot execute it");
  GiveBackLimits(pid);
  return std::make_unique<Process>(pid);
}

}  // namespace haven::os
