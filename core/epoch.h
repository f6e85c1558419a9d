/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CORE_EPOCH_H
#define HAVEN_CORE_EPOCH_H

#include <cstdint>

namespace haven {

/// Number of an epoch within one session. 0 is the synchronisation that comes
/// before the first checkpoint; the first checkpoint commits epoch 1.
using Epoch = uint64_t;

constexpr Epoch kSyncEpoch = 0;
/// So many epochs may be cut at the primary and not be committed; another one runs then.
constexpr unsigned kMostEpochsInFlight = 8;
constexpr uint32_t kPageBytes = 4096;

}  // namespace haven

#endif
