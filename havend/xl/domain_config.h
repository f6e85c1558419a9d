/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_XL_DOMAIN_CONFIG_H
#define HAVEN_HAVEND_XL_DOMAIN_CONFIG_H

#include <string>

#include "core/status.h"

namespace haven::havend {

/// Makes the configuration that the backup's xl gets: everything is the
/// backup's own, so that nothing that the peer says names a program, a file, a
/// bridge or a device here; only what makes the guest the same guest comes from
/// the primary: its UUID and the MAC addresses of its NICs. Pure; any thread.
///
/// @param own      libxl's JSON of the backup's own xl.cfg (`xl create -n`).
/// @param primary  libxl's JSON of the running domain; untrusted.
/// @return the JSON; kProtocol when `primary` is no such text; kRefused when
///         the two are not the same machine, with the setting that differs.
Result<std::string> MergeDomainConfig(const std::string& own, const std::string& primary);

/// The domain's name in libxl's JSON, kInvalid if there is none.
Result<std::string> DomainName(const std::string& config);

/// The device model that the configuration names, empty when it is xl's default.
std::string DeviceModel(const std::string& config);

/// The UUID of a merged configuration, as libxl writes it.
Result<std::string> DomainUuid(const std::string& config);

}  // namespace haven::havend

#endif
