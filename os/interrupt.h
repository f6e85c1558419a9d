/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_OS_INTERRUPT_H
#define HAVEN_OS_INTERRUPT_H

namespace haven::os {

/// Raised from another thread to end a wait.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
  void Raise();  ///< any thread, any number of times
  void Lower();
  int fd() const { return fd_; }  ///< readable while it is raised; negative: the system had none to give

 private:
  const int fd_;
};

}  // namespace haven::os

#endif
