/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_XL_TRIAL_DISKS_H
#define HAVEN_HAVEND_XL_TRIAL_DISKS_H

#include <string>
#include <vector>

#include "core/status.h"

namespace haven::havend {

/// Empty files as large as the disks that they stand for; gone with this. One thread.
class TrialDisks {
 public:
  /// @param folder  where they are.
  explicit TrialDisks(const std::string& folder) : folder_(folder) {}
  ~TrialDisks();
  TrialDisks(const TrialDisks&) = delete;
  TrialDisks& operator=(const TrialDisks&) = delete;

  /// @return its path; kEnvironment with errno.
  Result<std::string> Add(const std::string& disk);

 private:
  const std::string folder_;
  std::vector<std::string> paths_;
};

}  // namespace haven::havend

#endif
