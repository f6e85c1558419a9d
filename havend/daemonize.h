/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_DAEMONIZE_H
#define HAVEN_HAVEND_DAEMONIZE_H

#include <string>

#include "core/status.h"

namespace haven::havend {

/// Goes into the background, so that the command returns exactly when the
/// service is ready or has failed. Before any thread is started.
class Daemonizer {
 public:
  ~Daemonizer();
  /// Returns in the background process; the caller's process waits for
  /// Report() and exits: 0 when ready, 1 with the error on standard error.
  /// @param folder    made if it is not there.
  /// @param log_path  becomes standard error, appended to.
  Status Detach(const std::string& folder, const std::string& log_path);
  /// @param error  empty: ready. No-op when not detached.
  void Report(const std::string& error);

 private:
  int report_fd_ = -1;
};

}  // namespace haven::havend

#endif
