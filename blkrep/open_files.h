/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_OPEN_FILES_H
#define HAVEN_BLKREP_OPEN_FILES_H

#include <sys/stat.h>
#include <sys/types.h>

#include <optional>
#include <string>

namespace haven::blkrep {

/// A process that has a disk open.
struct Opener {
  pid_t pid = 0;
  std::string program;  ///< untrusted, but one line of ASCII
  bool is_self = false;
  /// A child of this process that has not begun its program yet: it drops all
  /// descriptors in a moment.
  bool is_starting = false;
};

/// Looks through the descriptors of all processes that may be looked at, as root
/// all of this PID namespace, for a file, or for a block device open for writing.
/// Whom to wait for comes last.
/// @param with_self  whether this process counts ...
/// @param except     ... with other descriptors than this one.
std::optional<Opener> FindOpener(const struct stat& disk, bool with_self, int except);

}  // namespace haven::blkrep

#endif
