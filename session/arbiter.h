/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_ARBITER_H
#define HAVEN_SESSION_ARBITER_H

#include <functional>
#include <memory>
#include <string>

#include "core/clock.h"
#include "core/status.h"

namespace haven::session {

/// Decides which side may go on when primary and backup have lost each other. Any thread.
class Arbiter {
 public:
  /// Whether nobody needs the answer any more. Asked some times a second, on the thread that waits.
  using GivenUp = std::function<bool()>;

  virtual ~Arbiter() = default;
  /// Blocks until it is known or given up, for some seconds at most.
  /// @param instance  names one session; @param role  primary or backup.
  /// @return Ok when this side has won; kRefused when it has lost; kEnvironment when nobody knows.
  virtual Status Ask(const std::string& guest, const std::string& instance, const char* role,
                     const GivenUp& given_up) = 0;
};

/// The arbiter that a side is configured with, or none.
class ArbiterChoice {
 public:
  ArbiterChoice() = default;
  /// A command: shell-quoted words, run without a shell with HAVEN_GUEST, HAVEN_INSTANCE and HAVEN_ROLE in its
  /// environment, for `limit` at most. Exit 0: this side has won; 1: it has lost; all else says nothing. Empty:
  /// there is no arbiter.
  ArbiterChoice(std::string command, milliseconds limit = std::chrono::seconds(10));
  ArbiterChoice(const char* command) : ArbiterChoice(std::string(command)) {}
  /// Another one. @param name  what a record says of it.
  ArbiterChoice(std::shared_ptr<Arbiter> arbiter, std::string name)
      : arbiter_(std::move(arbiter)), command_(std::move(name)) {}

  bool empty() const { return arbiter_ == nullptr; }
  operator const std::string&() const { return command_; }
  /// @pre it is not empty.
  Arbiter& operator*() const { return *arbiter_; }

 private:
  std::shared_ptr<Arbiter> arbiter_;
  std::string command_;
};

/// Asks it: see Arbiter::Ask().
Status AskArbiter(const ArbiterChoice& arbiter, const std::string& guest, const std::string& instance, const char* role,
                  const Arbiter::GivenUp& given_up);

}  // namespace haven::session

#endif
