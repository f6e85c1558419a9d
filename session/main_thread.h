/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_MAIN_THREAD_H
#define HAVEN_SESSION_MAIN_THREAD_H

#include <functional>
#include <memory>

#include "core/threads.h"
#include "session/guest.h"

namespace haven::session {

/// Runs functions on the device model's main thread for the session's other
/// threads, until the main thread closes the gate: what is still queued then
/// never runs, and who waits for it is released. So the session can be freed
/// on the main thread while others wait for that thread.
class MainThread {
 public:
  explicit MainThread(Guest& guest);
  ~MainThread();

  /// Any thread. Runs fn soon; what it throws is dropped.
  void Post(std::function<void()> fn);
  /// Any thread but the main one. Runs fn and waits for it; what it throws is thrown here.
  /// @return false if the gate was closed and fn did not run.
  bool Call(std::function<void()> fn);
  /// Main thread.
  void Close();

 private:
  struct Gate {
    Mutex mutex;
    Condition changed;
    bool open = true;
  };
  struct Progress;
  struct Work;
  static void Run(void* arg);

  Guest& guest_;
  std::shared_ptr<Gate> gate_;
};

}  // namespace haven::session

#endif
