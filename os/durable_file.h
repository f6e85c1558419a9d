/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_OS_DURABLE_FILE_H
#define HAVEN_OS_DURABLE_FILE_H

#include <string>

#include "core/bytes.h"
#include "core/status.h"

namespace haven::os {

/// After it the file has this content, also after a crash of the host; on failure, and after a
/// crash at any moment before, it has the old one. Readable by its owner only.
/// @return kEnvironment naming the path.
Status ReplaceFileDurably(const std::string& path, ByteSpan content);

}  // namespace haven::os

#endif
