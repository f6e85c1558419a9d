/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_XL_TRIAL_CONFIG_H
#define HAVEN_HAVEND_XL_TRIAL_CONFIG_H

#include <functional>
#include <string>

#include "core/status.h"

namespace haven::havend {

/// Makes the stand-in for the disk at a path, and says where that is.
using StandIn = std::function<Result<std::string>(const std::string& disk)>;

/// The configuration of a domain that is only to be loaded, beside the replicas and the network of the one that it is
/// a trial of. A device model that has loaded a state carries on with the requests that were in flight and announces
/// the guest's NICs, although the domain stays paused: so its disks are stand-ins, its NICs are in no bridge, and its
/// UUID is another one.
///
/// @param config  of MergeDomainConfig().
/// @return kRefused: it has disks or NICs of which xl knows nothing.
Result<std::string> MakeTrialConfig(const std::string& config, const StandIn& stand_in);

}  // namespace haven::havend

#endif
