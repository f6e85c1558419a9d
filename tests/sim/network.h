/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_SIM_NETWORK_H
#define HAVEN_TESTS_SIM_NETWORK_H

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/transport.h"
#include "core/wire.h"
#include "tests/sim/scheduler.h"

namespace haven::sim {

struct Connection;
struct Stream;

/// The replication network of the hosts, in memory. What TCP promises holds: octets come in order or not at all;
/// what a cut holds up comes when it is mended; whose process dies is heard of, whose host dies is not.
class Network {
 public:
  /// What happens to the octets of one direction of one connection.
  struct Fault {
    enum class Kind { kFlip, kEnd, kStall } kind;
    unsigned connection;
    bool back;  ///< from who was called to who called
    uint64_t octet;
  };
  /// The current process sends a record. @return whether it goes in two pieces, with kMiddle between them.
  enum class Moment { kBefore, kMiddle, kAfter };
  std::function<bool(wire::Type type, Moment moment)> on_record;
  std::function<void(const std::string& what)> note;

  Network(SimScheduler& scheduler, uint64_t seed) : scheduler_(scheduler), random_(seed) {}

  /// Of a process: calls from it; lives as long as the network.
  Dialer& DialerOf(Process& process);
  using Accept = std::function<void(std::unique_ptr<Transport>)>;
  /// @param accept  runs on a thread of `process` for each connection.
  void Listen(Process& process, Accept accept);

  /// Nothing of what `from` sends reaches `to`, until it is mended.
  void Cut(const Host& from, const Host& to, bool cut);
  bool IsCut(const Host& from, const Host& to) const { return cut_.contains({&from, &to}); }
  void SetDelay(Duration delay) { delay_ = delay; }
  /// Its connection counts from the next one.
  void Add(Fault fault) {
    fault.connection += static_cast<unsigned>(connections_.size());
    faults_.push_back(fault);
  }
  /// @param host_too  nobody says so to the peers.
  void Died(const Process& process, bool host_too);
  /// Peers of its former life hear of it when they send something.
  void Rebooted(const Host& host);

 private:
  friend class Pipe;
  class Caller;
  Duration Latency();
  void LoseSome(Stream& stream);

  SimScheduler& scheduler_;
  Random random_;
  Duration delay_{std::chrono::microseconds(100)};
  std::map<const Process*, std::unique_ptr<Dialer>> dialers_;
  std::map<const Process*, Accept> listeners_;
  std::set<std::pair<const Host*, const Host*>> cut_;
  std::vector<std::shared_ptr<Connection>> connections_;
  std::vector<Fault> faults_;
};

}  // namespace haven::sim

#endif
