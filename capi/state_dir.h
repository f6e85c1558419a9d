/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CAPI_STATE_DIR_H
#define HAVEN_CAPI_STATE_DIR_H

#include <string>

namespace haven {

/// The folder of all guests' states, that of havend unless the caller has another one.
inline std::string StateDir(const char* given) { return given != nullptr ? given : "/var/lib/haven"; }

}  // namespace haven

#endif
