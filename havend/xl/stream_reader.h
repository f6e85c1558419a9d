/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_XL_STREAM_READER_H
#define HAVEN_HAVEND_XL_STREAM_READER_H

#include <memory>
#include <string>
#include <vector>

#include "core/bytes.h"
#include "core/clock.h"
#include "core/status.h"
#include "os/interrupt.h"
#include "os/process.h"

namespace haven::havend {

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
  Status Write(ByteSpan data, const os::Interrupt& interrupt);
  /// Waits until it has written exactly `text`.
  Status Expect(const std::string& text, milliseconds timeout, const os::Interrupt& interrupt);
  /// Waits for its end. @return kEnvironment when that was not an exit with 0,
  /// or did not come in time.
  Status WaitForSuccess(milliseconds timeout, const os::Interrupt& interrupt);
  bool Ended();

 private:
  StreamReader(std::unique_ptr<os::Process> process, const std::string& log_path, const std::string& record_path)
      : process_(std::move(process)), log_path_(log_path), record_path_(record_path) {}
  Status Gone();
  /// It has closed its input: it has ended, or is about to.
  Status InputClosed(const os::Interrupt& interrupt);

  std::unique_ptr<os::Process> process_;
  int in_ = -1, out_ = -1;
  std::string log_path_, record_path_;
};

/// Ends the session of a StreamReader that a former run of this program left
/// behind. Nothing happens when the record is absent or of another process.
void KillRecorded(const std::string& record_path);

}  // namespace haven::havend

#endif
