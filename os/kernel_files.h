/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_OS_KERNEL_FILES_H
#define HAVEN_OS_KERNEL_FILES_H

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace haven::os {

// What the kernel says in files of /proc and /sys. Of a file that is missing, or says something else: nothing.

/// The number with which `text` begins.
std::optional<uint64_t> ToNumber(const std::string& text);
/// The first word of a file.
std::string FirstWord(const std::string& path);
/// Of a file of lines like `key value`.
std::optional<uint64_t> ValueOf(const std::string& path, const std::string& key);

/// The control groups (version 2) of this process: "/a/b", then "/a".
/// @param root  of the file system, for tests.
std::vector<std::string> ControlGroups(const std::string& root);
/// The folder with the files of one of them.
std::string ControlGroupFolder(const std::string& root, const std::string& group);

}  // namespace haven::os

#endif
