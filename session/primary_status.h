/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_PRIMARY_STATUS_H
#define HAVEN_SESSION_PRIMARY_STATUS_H

#include <string>

#include "core/clock.h"
#include "memrep/encoder_options.h"
#include "session/haven_figures.h"

namespace haven::session {

enum class PrimaryState {
  kConnecting,
  kSyncing,
  kProtected,
  kUnprotected,
  kRefused,
  kLost,
  kStopped,
  kVerifying = 8,  ///< a checkpoint was committed; whether the guest can go on from it is being tried
};

/// The times of each epoch that are shown as median and 99th percentile: NAME_p50_us and NAME_p99_us of
/// haven_figures.h.
#define HAVEN_EPOCH_TIMES(TIME)                                                                \
  TIME(settle) /* before the pause, requests in flight finish, the guest makes itself ready */ \
  TIME(look)   /* before the pause, its pages are looked at: the guest stands still for it */  \
  TIME(stop)                                                                                   \
  TIME(device)                                                                                 \
  TIME(harvest)                                                                                \
  TIME(copy)                                                                                   \
  TIME(resume)                                                                                 \
  TIME(pause)  /* from the order to stop until the guest runs */                               \
  TIME(commit) /* from the cut until COMMITTED arrived */                                      \
  TIME(output) /* from the first output until COMMITTED arrived; kNoOutput: there was none */

constexpr microseconds kNoOutput{-1};

/// One epoch's figures: the parts of the pause, in order, and what it cost.
struct EpochFigures {
#define HAVEN_MEMBER(name) microseconds name{0};
  HAVEN_EPOCH_TIMES(HAVEN_MEMBER)
#undef HAVEN_MEMBER
  microseconds decode{0};    ///< at the backup, as it says
  microseconds apply{0};     ///< at the backup, of the epoch before
  uint64_t pages = 0;        ///< copied in the pause
  uint64_t early_pages = 0;  ///< sent before it
  uint64_t wire_bytes = 0;
  microseconds ran{0};         ///< how long the guest ran in it
  int64_t busy_percent = 100;  ///< for how much of the time since the one before its vCPUs worked; 100 if not known
  microseconds transfer{0};    ///< of wire_bytes, at the rate that the link was measured to have
  memrep::EncoderFigures encoder;
};

/// The figures of haven_figures.h.
struct PrimaryFigures {
#define HAVEN_MEMBER(name, unit, meaning) uint64_t name = 0;
  HAVEN_STATUS_FIGURES(HAVEN_MEMBER)
#undef HAVEN_MEMBER
};

struct PrimaryStatus : PrimaryFigures {
  PrimaryState state = PrimaryState::kConnecting;
  std::string message;
  std::string mode, mode_settings;
  std::string run_state;  ///< GuestRunName()
  std::string newer;      ///< whose copy is newer, as of the last comparison: see NewerSide(); empty: there was none
};

}  // namespace haven::session

#endif
