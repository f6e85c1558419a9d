/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_XEN_CHILD_H
#define HAVEN_XEN_CHILD_H

#include <memory>
#include <string>
#include <sys/types.h>
#include <vector>

#include "core/bytes.h"
#include "core/clock.h"
#include "core/status.h"

namespace haven::xen {

/// Runs a program to its end, without a shell, its standard input empty.
/// @param log_path  takes what it writes to standard error.
/// @return its standard output if it exits with 0, else kEnvironment that says how it ended.
Result<std::string> RunProgram(const std::vector<std::string>& argv, const std::string& log_path, milliseconds timeout);

/// Raised from another thread to end a wait.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
  void Raise();
  void Lower();
  int fd() const { return fd_; }

 private:
  const int fd_;
};

/// A program that reads a stream from its standard input, in a session of its
/// own. One thread, of a process that ignores SIGPIPE.
///
/// The program itself holds the writing end of its input, too: the stream does
/// not end for it when this process dies. (A stock xl takes the end of a
/// checkpointed stream for the order to run the guest.)
class StreamReader {
 public:
  /// @param record_path  remembers the process, see KillRecorded().
  static Result<std::unique_ptr<StreamReader>> Spawn(const std::vector<std::string>& argv, const std::string& log_path,
                                                     const std::string& record_path);
  /// Kills it and what it has started, unless it has ended or was released.
  ~StreamReader();

  /// @return kTryAgain if `interrupt` was raised, kEnvironment if it ended.
  Status Write(ByteSpan data, const Interrupt& interrupt);
  /// Waits until it has written exactly `text`.
  Status Expect(const std::string& text, milliseconds timeout, const Interrupt& interrupt);
  /// Waits for its end. @return kEnvironment when that was not an exit with 0,
  /// or did not come in time.
  Status WaitForSuccess(milliseconds timeout, const Interrupt& interrupt);
  bool Ended();

 private:
  StreamReader() = default;
  Status Gone();
  /// It has closed its input: it has ended, or is about to.
  Status InputClosed(const Interrupt& interrupt);

  pid_t pid_ = -1;
  int pidfd_ = -1, in_ = -1, out_ = -1;
  bool reaped_ = false;
  int wait_status_ = 0;
  std::string log_path_, record_path_;
};

/// Ends the session of a StreamReader that a former run of this program left
/// behind. Nothing happens when the record is absent or of another process.
void KillRecorded(const std::string& record_path);

}  // namespace haven::xen

#endif
