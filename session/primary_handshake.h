/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_PRIMARY_HANDSHAKE_H
#define HAVEN_SESSION_PRIMARY_HANDSHAKE_H

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/link.h"

namespace haven::session {

/// A peer that answers but neither commits nor takes octets for this many
/// deadlines is of no use.
constexpr int kDataDeadlines = 10;

/// Why a connection to the backup ended, or was never made.
struct ConnectionEnd {
  enum class Kind {
    kLost,      ///< silence, end of stream, malformed octets: try again
    kRefused,   ///< the backup said no for a reason that trying again will not change
    kPromoted,  ///< the backup runs the guest
  };
  Kind kind = Kind::kLost;
  Status status;
};

/// What an ERROR record from the backup means for the primary.
ConnectionEnd EndOfError(const wire::ErrorBody& error);
/// The end that goes with a failed call on a link.
ConnectionEnd EndOf(Status status);

/// The three links of one session with a backup.
struct PrimaryLinks {
  std::shared_ptr<Link> control, disk, memory;
  wire::Token token{};
  uint64_t features = 0;
  uint32_t backup_deadline_ms = 0;  ///< the backup's, as it says

  /// Ends all three; any thread.
  void Close();
};

struct ConnectOptions {
  std::string guest, host, port;
  milliseconds deadline;
  milliseconds lag_limit{60000};     ///< of a commit, while the backup answers and makes progress
  bool share = false;                ///< offers to share pages with other guests of this host
  bool arbiter = false;              ///< this side asks one
  Clock* clock = &MonotonicClock();  ///< outlives what is made with it
  Dialer* dialer = &TcpDialer();     ///< the same
};

/// Makes the three links and negotiates version and features. Blocks for at
/// most some deadlines.
/// @param opened  called with each link as soon as it exists and before it is
///                used, so that another thread can close it.
Result<std::unique_ptr<PrimaryLinks>> Connect(const ConnectOptions& options, ConnectionEnd& end,
                                              const std::function<void(std::shared_ptr<Link>)>& opened);

/// Before STORE and LAYOUT: tells the backup what this side has. @return what the backup has.
Result<wire::Identity> ExchangeIdentity(Link& control, const wire::Identity& primary, milliseconds deadline,
                                        ConnectionEnd& end);

/// The same outside of any session, on a connection of its own. Blocks for some deadlines.
/// @param opened  as in Connect().
Result<wire::Identity> AskBackup(
    const ConnectOptions& options, const wire::Identity& primary,
    const std::function<void(std::shared_ptr<Link>)>& opened = [](std::shared_ptr<Link>) {});

/// With the feature SHARED_PAGES, before LAYOUT: asks for the store that guests of this host share.
Result<wire::StoreReply> AskForStore(Link& control, const wire::Token& host, milliseconds deadline, ConnectionEnd& end);

/// Sends LAYOUT and waits until the backup is ready for the first copy.
Result<wire::LayoutReply> SendLayout(Link& control, const wire::Layout& layout, milliseconds deadline,
                                     ConnectionEnd& end);

}  // namespace haven::session

#endif
