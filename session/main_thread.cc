// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/main_thread.h"

#include <exception>

namespace haven::session {

/// Of a Call(); guarded by the gate's mutex.
struct MainThread::Progress {
  bool started = false, done = false;
  std::exception_ptr thrown;  ///< by fn
};

struct MainThread::Work {
  std::shared_ptr<Gate> gate;
  std::function<void()> fn;
  std::shared_ptr<Progress> progress;
};

MainThread::MainThread(Guest& guest) : guest_(guest), gate_(std::make_shared<Gate>()) {}

MainThread::~MainThread() { Close(); }

void MainThread::Run(void* arg) {
  std::unique_ptr<Work> work(static_cast<Work*>(arg));
  {
    // Only the main thread, where this runs, closes the gate: once seen open,
    // it stays open until fn returns or closes it itself.
    std::lock_guard lock(work->gate->mutex);
    if (!work->gate->open) return;
    if (work->progress) work->progress->started = true;
  }
  // Nothing may leave into the device model, which is C.
  std::exception_ptr thrown;
  try {
    work->fn();
  } catch (...) {
    thrown = std::current_exception();
  }
  std::lock_guard lock(work->gate->mutex);
  if (work->progress) {
    work->progress->done = true;
    work->progress->thrown = thrown;
  }
  work->gate->changed.notify_all();
}

void MainThread::Post(std::function<void()> fn) {
  {
    std::lock_guard lock(gate_->mutex);
    if (!gate_->open) return;
  }
  guest_.RunOnMain(Run, new Work{gate_, std::move(fn), nullptr});
}

bool MainThread::Call(std::function<void()> fn) {
  auto progress = std::make_shared<Progress>();
  auto gate = gate_;
  guest_.RunOnMain(Run, new Work{gate, std::move(fn), progress});
  std::unique_lock lock(gate->mutex);
  // What has started is waited for: fn uses the caller's stack, and it may be
  // fn itself that closes the gate.
  gate->changed.wait(lock, [&] { return progress->done || (!gate->open && !progress->started); });
  if (progress->thrown) std::rethrow_exception(progress->thrown);
  return progress->done;
}

void MainThread::Close() {
  std::lock_guard lock(gate_->mutex);
  gate_->open = false;
  gate_->changed.notify_all();
}

}  // namespace haven::session
