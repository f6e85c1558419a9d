/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "havend/listener.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/guarded.h"
#include "havend/log.h"

namespace haven::havend {

namespace {

/// More than wait: those that were closed take a moment to end.
constexpr size_t kServedForEachHalfOpen = 4;
constexpr int kBacklog = 64;

Result<int> ListenOn(const addrinfo& address) {
  int fd = socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC, address.ai_protocol);
  if (fd < 0) return Status::FromErrno(errno, "cannot make a socket");
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(fd, address.ai_addr, address.ai_addrlen) == 0 && listen(fd, kBacklog) == 0) return fd;
  int error = errno;
  close(fd);
  return Status::FromErrno(error, "cannot listen");
}

}  // namespace

Result<int> ListenTcp(const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
  if (error != 0) {
    return Status(StatusCode::kEnvironment, "listen = " + host + ":" + port + ": " + gai_strerror(error));
  }
  Result<int> fd = ListenOn(*found);
  freeaddrinfo(found);
  if (!fd.ok()) return fd.status().With("listen = " + host + ":" + port);
  return fd;
}

Listener::Listener(int listen_fd, milliseconds timeout, size_t half_open_limit, Attach attach, Clock& clock)
    : timeout_(timeout),
      half_open_limit_(half_open_limit),
      attach_(std::move(attach)),
      clock_(clock),
      connections_(std::make_unique<Connections>("listener", listen_fd, kServedForEachHalfOpen * half_open_limit,
                                                 [this](int fd) { Greet(fd); })) {}

Listener::~Listener() {
  connections_->Stop();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
    for (const Waiting& one : waiting_) one.link->Close();
  }
  connections_.reset();
}

size_t Listener::half_open() {
  std::lock_guard<std::mutex> lock(mutex_);
  return waiting_.size();
}

void Listener::AddWaiting(Link* link, const std::string& peer) {
  waiting_.push_back({link, peer.substr(0, peer.rfind(':'))});
  if (waiting_.size() <= half_open_limit_) return;
  // A primary says HELLO at once. Of the host that has most of them, so that a stranger displaces his own.
  std::map<std::string, size_t> of_host;
  for (const Waiting& one : waiting_) of_host[one.host]++;
  const auto crowded = std::max_element(waiting_.begin(), waiting_.end(), [&](const Waiting& a, const Waiting& b) {
    return of_host[a.host] < of_host[b.host];
  });
  crowded->link->Close();
  waiting_.erase(crowded);
}

void Listener::Greet(int fd) {
  auto link = std::make_unique<Link>(fd, clock_);
  const std::string peer = link->PeerName();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_) return;
    AddWaiting(link.get(), peer);
  }
  Record record;
  // Whatever happens: it is not among those that wait any more.
  Status received = Guarded([&] { return link->Receive(record, timeout_); });
  {
    std::lock_guard<std::mutex> lock(mutex_);
    std::erase_if(waiting_, [&](const Waiting& one) { return one.link == link.get(); });
    if (stopped_) return;
  }
  if (received.ok() && record.header.type != wire::Type::kHello) {
    received = Status(StatusCode::kProtocol,
                      std::string("the first record must be HELLO, not ") + wire::TypeName(record.header.type));
  }
  Result<wire::Hello> hello = received.ok() ? wire::DecodeHello(record.body) : received;
  if (!hello.ok()) {
    Log("connection from " + peer + " refused: " + hello.status().message());
    if (hello.status().code() == StatusCode::kProtocol) {
      SendError(*link, wire::Error::kProtocol, hello.status().message());
    }
    return;
  }
  const Status attached = attach_(link, hello.value());
  if (attached.ok()) return;
  const bool unknown = attached.code() == StatusCode::kInvalid;
  // The others ask twice a second.
  if (unknown) Log("connection from " + peer + " refused: " + attached.message());
  SendError(*link, unknown ? wire::Error::kUnknownGuest : wire::Error::kEnvironment, attached.message());
}

}  // namespace haven::havend
