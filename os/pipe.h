/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_OS_PIPE_H
#define HAVEN_OS_PIPE_H

#include <utility>

namespace haven::os {

/// Both ends close by themselves, also when this process executes a program.
class Pipe {
 public:
  /// When it is not ok() afterwards, errno says why.
  Pipe();
  ~Pipe();
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  bool ok() const { return read_end_ >= 0; }
  int read_end() const { return read_end_; }
  int write_end() const { return write_end_; }
  void CloseRead() { Close(read_end_); }
  void CloseWrite() { Close(write_end_); }
  /// From here on the caller has to close it.
  int TakeRead() { return std::exchange(read_end_, -1); }
  int TakeWrite() { return std::exchange(write_end_, -1); }

 private:
  static void Close(int& end);

  int read_end_ = -1, write_end_ = -1;
};

}  // namespace haven::os

#endif
