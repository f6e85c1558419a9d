// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/main_thread.h"

namespace haven::session {

struct MainThread::Work {
  std::shared_ptr<Gate> gate;
  std::function<void()> fn;
  std::shared_ptr<bool> done;
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
  }
  work->fn();
  std::lock_guard lock(work->gate->mutex);
  if (work->done) *work->done = true;
  work->gate->changed.notify_all();
}

void MainThread::Post(std::function<void()> fn) {
  guest_.RunOnMain(Run, new Work{gate_, std::move(fn), nullptr});
}

bool MainThread::Call(std::function<void()> fn) {
  auto done = std::make_shared<bool>(false);
  auto gate = gate_;
  guest_.RunOnMain(Run, new Work{gate, std::move(fn), done});
  std::unique_lock lock(gate->mutex);
  gate->changed.wait(lock, [&] { return *done || !gate->open; });
  return *done;
}

void MainThread::Close() {
  std::lock_guard lock(gate_->mutex);
  gate_->open = false;
  gate_->changed.notify_all();
}

}  // namespace haven::session
