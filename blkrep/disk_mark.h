/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_DISK_MARK_H
#define HAVEN_BLKREP_DISK_MARK_H

#include <cstdint>
#include <string>

#include "core/records.h"
#include "core/status.h"

namespace haven::blkrep {

/// The mark that a file which is a disk of a guest carries in its extended
/// attribute user.haven: the text "1 ID INODE BIRTH GUEST", where ID is hex and
/// INODE and BIRTH say for which file it was made. A copy that took the
/// attribute along is another file. Whoever may write to the file may write this.
struct DiskMark {
  enum class State {
    kUnsupported,  ///< the file system has no such attributes
    kNone,
    kUnreadable,  ///< not of this form
    kMarked,
  };
  State state = State::kNone;
  wire::Token id{};
  uint64_t inode = 0;
  int64_t birth_ns = 0;  ///< 0: the file system does not say
  std::string guest;     ///< untrusted, but one line of ASCII
  bool copied = false;   ///< kMarked: made for another file than the one it was read from
};

/// The mark of a file. Opens it read-only; no side effect.
/// @return kInvalid if it is no regular file; kEnvironment with errno.
Result<DiskMark> ReadMark(const std::string& path);
/// The same of a descriptor of a regular file.
Result<DiskMark> ReadMark(int fd);
/// Durable when it returns Ok.
Status WriteMark(int fd, const DiskMark& mark);

/// When a file was made, in nanoseconds since 1970; 0: the file system does not say.
int64_t BirthOf(int fd);

std::string MarkText(const DiskMark& mark);
/// kMarked or kUnreadable.
DiskMark ParseMark(const std::string& text);

}  // namespace haven::blkrep

#endif
