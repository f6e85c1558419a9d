/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_XL_LIBXL_STREAM_H
#define HAVEN_HAVEND_XL_LIBXL_STREAM_H

#include <span>
#include <string>

#include "core/bytes.h"
#include "xen/domain_state.h"

namespace haven::havend {

// The stream that a stock `xl migrate-receive -r` restores a domain from. Pure
// functions that append octets; the caller keeps the order:
//
//   xl header, stream head, { pages*, checkpoint }*, stream end
//
// Sources: Xen's docs/specs/libxl-migration-stream.pandoc and
// libxc-migration-stream.pandoc; tools/xl/xl.h for the xl header.

/// What xl writes before it reads anything.
constexpr char kReceiverBanner[] = "xl migration receiver ready, send binary domain data.\n";

/// What xl writes when it has restored a domain from a plain stream, and waits for the leave to let it run.
constexpr char kReceiverReady[] = "domain received, ready to unpause";

/// Frames in one PAGE_DATA record, as Xen's own tools send at most.
constexpr size_t kMaxPagesPerRecord = 1024;

/// @param config  the domain's configuration as libxl's JSON.
void AppendXlHeader(const std::string& config, Bytes& out);

/// libxl header, LIBXC_CONTEXT, libxc headers, CPU policies, STATIC_DATA_END.
/// They come once; later epochs do not repeat them.
void AppendStreamHead(const xen::DomainState& state, Bytes& out);

/// One PAGE_DATA record without its pages: the caller appends, or writes, the
/// 4096 octets of each frame in the same order.
/// @param frames  1 to kMaxPagesPerRecord.
void AppendPageDataHead(std::span<const uint64_t> frames, Bytes& out);

/// TSC_INFO, HVM_CONTEXT, HVM_PARAMS, CHECKPOINT, EMULATOR_CONTEXT,
/// CHECKPOINT_END: from here on the receiver would resume this epoch.
void AppendCheckpoint(const xen::DomainState& state, Bytes& out);

/// The end that lets the receiver run the last checkpoint. A stream that only
/// breaks off has the same effect on a stock xl.
void AppendStreamEnd(Bytes& out);

/// Instead of AppendCheckpoint() and AppendStreamEnd(): ends a stream of one
/// epoch as a plain one, such as `xl save` writes and verify-stream-v2 checks.
void AppendPlainEnd(const xen::DomainState& state, Bytes& out);

}  // namespace haven::havend

#endif
