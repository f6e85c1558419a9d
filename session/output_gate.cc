// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/output_gate.h"

#include "core/failpoint.h"

namespace haven::session {

bool OutputGate::Hold(void* nic, unsigned flags, const iovec* iov, int iov_count) {
  if (!holding_) return false;
  buffer_.Hold(nic, flags, iov, iov_count, SteadyClock::now());
  return true;
}

Result<Epoch> OutputGate::Cut() {
  HAVEN_RETURN_IF_ERROR(guest_.CutOutput());
  const Epoch epoch = buffer_.Cut();
  if (BreakRequested("release-before-commit")) {
    buffer_.Release(epoch, sink());
    guest_.ReleaseOutput();
  }
  return epoch;
}

void OutputGate::Release(Epoch committed) {
  if (!holding_ || buffer_.current() <= committed) return;  // of a connection that has ended since
  if (BreakRequested("release-newest-cut")) committed = buffer_.current() - 1;
  FailPoint("before-release");
  buffer_.Release(committed, sink());
  guest_.ReleaseOutput();
  FailPoint("after-release");
}

void OutputGate::Open() {
  holding_ = false;
  buffer_.ReleaseAll(sink());
  guest_.ReleaseAllOutput();
}

Status OutputGate::Restart() {
  buffer_.Restart(1);
  return holding_ ? guest_.DropOutput() : Status::Ok();
}

}  // namespace haven::session
