/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_LOG_H
#define HAVEN_HAVEND_LOG_H

#include <string>

namespace haven::havend {

/// Writes one line with a time stamp to standard error. Any thread; lines
/// stay whole. Octets that could confuse a terminal are replaced.
void Log(const std::string& message);

}  // namespace haven::havend

#endif
