// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/sim/network.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>

#include "core/records.h"
#include "tests/sim/unseen.h"

namespace haven::sim {
namespace {

/// What a socket's buffers take before a sender has to wait.
constexpr size_t kCapacity = 96 * 1024;
/// How long it takes until a sender whose octets were held up tries again.
constexpr Duration kRetransmit = std::chrono::milliseconds(200);
constexpr Duration kStalled = std::chrono::seconds(3);

}  // namespace

/// One direction of a connection: what is on its way from one process to another.
struct Stream {
  struct Chunk {
    Instant at;
    Bytes octets;
  };
  Process* from = nullptr;
  Process* to = nullptr;
  std::deque<Chunk> chunks;
  size_t front_read = 0, held = 0;
  uint64_t sent = 0;
  Instant last{};         ///< nothing comes before it
  bool finished = false;  ///< its end comes behind the last chunk
  Instant finished_at{};
  bool deaf = false;     ///< the reader takes no more and says nothing
  bool refused = false;  ///< the reader is gone: who writes hears of it
  bool broken = false;   ///< the writer has heard of it
  bool dropped = false;  ///< a fault: nothing more comes
  Instant stalled_until{};
  // Of the writer: where in a record it is.
  Bytes head;
  uint64_t body_left = 0;
  // Who waits for octets, and for room, waits for these addresses.
  char readable = 0, writable = 0;
};

struct Connection {
  unsigned number = 0;
  Stream there, back;
};

/// One end of a connection.
class Pipe final : public Transport {
 public:
  Pipe(Network& network, std::shared_ptr<Connection> connection, Stream& out, Stream& in)
      : network_(network), scheduler_(network.scheduler_), connection_(std::move(connection)), out_(out), in_(in) {}
  ~Pipe() override {
    const Unseen unseen;
    Shutdown();
    in_.refused = true;
  }

  ssize_t Write(const iovec* parts, size_t count) override;
  ssize_t Read(uint8_t* out, size_t bytes) override;
  bool Wait(For what, Instant until) override;
  void Shutdown() override;
  std::string PeerName() const override {
    const Unseen unseen;
    return out_.to->host.name;
  }

 private:
  bool Blocked(const Stream& stream) const { return network_.IsCut(stream.from->host, stream.to->host); }
  ssize_t Take(const iovec* parts, size_t count, size_t limit);
  void Send(Bytes octets);
  size_t Fail(const Bytes& octets, Bytes& changed);
  bool Ready(For what) const;

  Network& network_;
  SimScheduler& scheduler_;
  const std::shared_ptr<Connection> connection_;
  Stream& out_;
  Stream& in_;
  bool shut_ = false;
};

bool Pipe::Ready(For what) const {
  if (shut_) return true;
  const Instant now = scheduler_.world_now();
  if (what == For::kWrite) return out_.broken || out_.held < kCapacity;
  if (in_.broken || out_.broken) return true;
  if (Blocked(in_) || in_.stalled_until > now) return false;
  if (!in_.chunks.empty()) return in_.chunks.front().at <= now;
  return in_.finished && in_.finished_at <= now;
}

bool Pipe::Wait(For what, Instant until) {
  const Unseen unseen;
  Stream& stream = what == For::kRead ? in_ : out_;
  const char* key = what == For::kRead ? &stream.readable : &stream.writable;
  while (!Ready(what)) {
    if (scheduler_.Now() >= until) return false;
    Instant at = kNever;
    if (what == For::kRead && !Blocked(in_)) {
      if (!in_.chunks.empty()) at = in_.chunks.front().at;
      if (in_.chunks.empty() && in_.finished) at = in_.finished_at;
      if (at != kNever) at = std::max(at, in_.stalled_until);
    }
    scheduler_.Block(key, until, at);
  }
  return true;
}

ssize_t Pipe::Read(uint8_t* out, size_t bytes) {
  const Unseen unseen;
  if (shut_) return 0;
  if (!Ready(For::kRead)) return -EAGAIN;
  if (in_.chunks.empty()) return in_.finished && !out_.broken ? 0 : -ECONNRESET;
  Stream::Chunk& front = in_.chunks.front();
  const size_t n = std::min(bytes, front.octets.size() - in_.front_read);
  memcpy(out, front.octets.data() + in_.front_read, n);
  in_.front_read += n;
  in_.held -= n;
  if (in_.front_read == front.octets.size()) {
    in_.chunks.pop_front();
    in_.front_read = 0;
  }
  scheduler_.Wake(&in_.writable);
  return static_cast<ssize_t>(n);
}

/// Counts records, so that something can happen before, in and behind each.
ssize_t Pipe::Write(const iovec* parts, size_t count) {
  const Unseen unseen;
  if (shut_) return -EPIPE;
  if (out_.refused && !Blocked(out_)) out_.broken = true;
  if (out_.broken) return -ECONNRESET;
  if (out_.held >= kCapacity) return -EAGAIN;
  const size_t room = kCapacity - out_.held;
  if (out_.body_left > 0 || !out_.head.empty() || parts[0].iov_len < wire::kHeaderBytes)
    return Take(parts, count, room);
  auto header = wire::DecodeHeader({static_cast<const uint8_t*>(parts[0].iov_base), wire::kHeaderBytes});
  if (!header.ok()) return Take(parts, count, room);
  const wire::Type type = header.value().type;
  const uint64_t whole = wire::kHeaderBytes + uint64_t{header.value().body_bytes};
  const bool in_two = network_.on_record(type, Network::Moment::kBefore);
  const ssize_t n = Take(parts, count, in_two ? std::min<size_t>(room, network_.random_.Between(1, whole - 1)) : room);
  if (in_two) {
    (void)network_.on_record(type, Network::Moment::kMiddle);
  } else if (static_cast<size_t>(n) >= whole) {
    (void)network_.on_record(type, Network::Moment::kAfter);
  }
  return n;
}

ssize_t Pipe::Take(const iovec* parts, size_t count, size_t limit) {
  Bytes octets;
  for (size_t i = 0; i < count && octets.size() < limit; i++) {
    const auto* data = static_cast<const uint8_t*>(parts[i].iov_base);
    octets.insert(octets.end(), data, data + std::min(parts[i].iov_len, limit - octets.size()));
  }
  const size_t n = octets.size();
  for (size_t at = 0; at < n;) {
    if (out_.body_left > 0) {
      const uint64_t part = std::min<uint64_t>(out_.body_left, n - at);
      out_.body_left -= part;
      at += part;
      continue;
    }
    const size_t part = std::min(n - at, wire::kHeaderBytes - out_.head.size());
    out_.head.insert(out_.head.end(), octets.begin() + static_cast<ptrdiff_t>(at),
                     octets.begin() + static_cast<ptrdiff_t>(at + part));
    at += part;
    if (out_.head.size() < wire::kHeaderBytes) break;
    auto header = wire::DecodeHeader(out_.head);
    out_.body_left = header.ok() ? header.value().body_bytes : UINT64_MAX;
    out_.head.clear();
  }
  Send(std::move(octets));
  scheduler_.Yield();
  return static_cast<ssize_t>(n);
}

void Pipe::Send(Bytes octets) {
  const uint64_t begin = out_.sent;
  out_.sent += octets.size();
  if (out_.deaf || out_.dropped) return;
  for (const Network::Fault& fault : network_.faults_) {
    if (fault.connection != connection_->number || fault.back != (&out_ == &connection_->back)) continue;
    if (fault.octet < begin || fault.octet >= out_.sent) continue;
    const auto at = static_cast<ptrdiff_t>(fault.octet - begin);
    network_.note("fault in connection " + std::to_string(fault.connection) + " at octet " +
                  std::to_string(fault.octet));
    switch (fault.kind) {
      case Network::Fault::Kind::kFlip: octets[static_cast<size_t>(at)] ^= 1u << fault.octet % 8; break;
      case Network::Fault::Kind::kStall: out_.stalled_until = scheduler_.world_now() + kStalled; break;
      case Network::Fault::Kind::kEnd:
        octets.erase(octets.begin() + at, octets.end());
        out_.dropped = out_.finished = true;
        break;
    }
    if (out_.dropped) break;
  }
  out_.last = std::max(out_.last, scheduler_.world_now() + network_.Latency());
  out_.finished_at = out_.last;
  if (!octets.empty()) {
    out_.held += octets.size();
    out_.chunks.push_back({out_.last, std::move(octets)});
  }
  if (!Blocked(out_)) scheduler_.WakeAt(&out_.readable, std::max(out_.last, out_.stalled_until));
}

void Pipe::Shutdown() {
  const Unseen unseen;
  if (shut_) return;
  shut_ = true;
  if (!out_.finished) {
    out_.finished = true;
    out_.finished_at = out_.last = std::max(out_.last, scheduler_.world_now() + network_.Latency());
    if (!Blocked(out_)) scheduler_.WakeAt(&out_.readable, out_.finished_at);
  }
  in_.deaf = true;
  in_.held = 0;
  in_.chunks.clear();
  in_.front_read = 0;
  for (const char* key : {&in_.readable, &in_.writable, &out_.readable, &out_.writable}) scheduler_.Wake(key);
}

// --- the network ----------------------------------------------------------------

class Network::Caller final : public Dialer {
 public:
  Caller(Network& network, Process& process) : network_(network), process_(process) {}
  Result<std::unique_ptr<Transport>> Dial(const std::string& host, const std::string& port, Instant until,
                                          Clock& clock) override;

 private:
  Network& network_;
  Process& process_;
};

Duration Network::Latency() { return delay_ + std::chrono::microseconds(random_.Below(50)); }

Result<std::unique_ptr<Transport>> Network::Caller::Dial(const std::string& host, const std::string&, Instant until,
                                                         Clock&) {
  const Unseen unseen;
  SimScheduler& scheduler = network_.scheduler_;
  const auto lost = [&](const char* why) {
    return Status(StatusCode::kPeerLost, "cannot connect to " + host + ": " + why);
  };
  while (true) {
    scheduler.SleepUntil(std::min(until, scheduler.Now() + 2 * network_.Latency()));
    const auto found = std::find_if(network_.listeners_.begin(), network_.listeners_.end(), [&](const auto& listener) {
      return listener.first->alive && listener.first->host.name == host;
    });
    const Host* there = nullptr;
    for (const auto& [process, accept] : network_.listeners_) {
      if (process->host.name == host) there = &process->host;
    }
    const bool reached = there != nullptr && there->up && !network_.IsCut(process_.host, *there) &&
                         !network_.IsCut(*there, process_.host);
    if (!reached) {
      scheduler.SleepUntil(std::min(until, scheduler.Now() + kRetransmit));
      if (scheduler.Now() >= until) return lost("nobody answers");
      continue;
    }
    if (found == network_.listeners_.end()) return lost("Connection refused");
    auto connection = std::make_shared<Connection>();
    connection->number = static_cast<unsigned>(network_.connections_.size());
    auto* listener = const_cast<Process*>(found->first);
    connection->there.from = connection->back.to = &process_;
    connection->there.to = connection->back.from = listener;
    network_.connections_.push_back(connection);
    auto other = std::make_shared<std::unique_ptr<Transport>>(
        std::make_unique<Pipe>(network_, connection, connection->back, connection->there));
    scheduler.Spawn(listener, "accepted", [accept = found->second, other] { accept(std::move(*other)); });
    return std::unique_ptr<Transport>(
        std::make_unique<Pipe>(network_, connection, connection->there, connection->back));
  }
}

Dialer& Network::DialerOf(Process& process) {
  auto& dialer = dialers_[&process];
  if (dialer == nullptr) dialer = std::make_unique<Caller>(*this, process);
  return *dialer;
}

void Network::Listen(Process& process, Accept accept) { listeners_[&process] = std::move(accept); }

void Network::Cut(const Host& from, const Host& to, bool cut) {
  if (cut) {
    cut_.insert({&from, &to});
    return;
  }
  if (cut_.erase({&from, &to}) == 0) return;
  const Instant again = scheduler_.world_now() + kRetransmit;
  for (const auto& connection : connections_) {
    for (Stream* stream : {&connection->there, &connection->back}) {
      if (&stream->from->host != &from || &stream->to->host != &to) continue;
      stream->last = std::max(stream->last, again);
      stream->finished_at = std::max(stream->finished_at, again);
      for (auto& chunk : stream->chunks) chunk.at = std::max(chunk.at, again);
      scheduler_.Wake(&stream->readable);
    }
  }
}

/// What has not left a host's buffers goes with it.
void Network::LoseSome(Stream& stream) {
  size_t arrived = 0;
  while (arrived < stream.chunks.size() && stream.chunks[arrived].at <= scheduler_.world_now()) arrived++;
  stream.chunks.resize(arrived + random_.Below(stream.chunks.size() - arrived + 1));
}

void Network::Died(const Process& process, bool host_too) {
  for (const auto& connection : connections_) {
    for (Stream* stream : {&connection->there, &connection->back}) {
      if (stream->from == &process && !host_too && !stream->finished) {
        stream->finished = true;
        stream->finished_at = stream->last = std::max(stream->last, scheduler_.world_now() + Latency());
        scheduler_.Wake(&stream->readable);
      }
      if (stream->to == &process && !host_too) stream->refused = true;
      if (stream->from == &process && host_too) LoseSome(*stream);
    }
  }
}

void Network::Rebooted(const Host& host) {
  for (const auto& connection : connections_) {
    for (Stream* stream : {&connection->there, &connection->back}) {
      if (&stream->to->host == &host && !stream->to->alive) stream->refused = true;
    }
  }
}

}  // namespace haven::sim
