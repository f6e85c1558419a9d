/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_XEN_DOMAIN_GUARD_H
#define HAVEN_XEN_DOMAIN_GUARD_H

#include <memory>
#include <string>

#include "core/status.h"
#include "os/process.h"

namespace haven::xen {

/// Stops the domain for good when this process dies. Its vCPUs would run on
/// without a device model, while the backup starts the guest anew.
///
/// The guard is a process of its own: it reads from a pipe whose other end
/// only this process has. Any thread.
class DomainGuard {
 public:
  /// Returns once the guard watches.
  /// @param program  haven-domain-guard
  /// @return kEnvironment: it could not be started, and what it said.
  static Result<std::unique_ptr<DomainGuard>> Start(const std::string& program, uint32_t domid);
  /// Sends the guard away: the domain needs none any more.
  ~DomainGuard();
  DomainGuard(const DomainGuard&) = delete;
  DomainGuard& operator=(const DomainGuard&) = delete;

 private:
  DomainGuard() = default;
  Status Spawn(const std::string& program, uint32_t domid);
  Status AwaitReady();

  std::unique_ptr<os::Process> process_;  ///< empty: it did not start
  int watched_ = -1;                      ///< the end that closes when this process dies
  int said_ = -1;                         ///< the guard's standard output
};

/// What the guard says when it watches, and what it is told to go away with.
constexpr char kGuardReady[] = "watching\n";
constexpr char kGuardDone = 'd';

}  // namespace haven::xen

#endif
