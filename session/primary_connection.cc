// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/primary_connection.h"

#include <fstream>

namespace haven::session {
namespace {

/// Starting the process that waits on the backup may take a while; the backup
/// sends heartbeats meanwhile.
constexpr milliseconds kPrepareTimeout{60000};

/// One request and its answer of type `wanted`; heartbeats are passed over.
Status Await(Link& link, wire::Type wanted, milliseconds silence, milliseconds total, Record& reply,
             ConnectionEnd& end) {
  Instant deadline = link.clock().Now() + total;
  while (link.clock().Now() < deadline) {
    Status received = link.Receive(reply, silence);
    if (!received.ok()) {
      end = EndOf(received);
      return received;
    }
    if (reply.header.type == wanted) return Status::Ok();
    if (reply.header.type == wire::Type::kHeartbeat) continue;
    if (reply.header.type == wire::Type::kError) {
      auto error = wire::DecodeError(reply.body);
      end = error.ok() ? EndOfError(error.value()) : EndOf(error.status());
      return end.status;
    }
    end = EndOf({StatusCode::kProtocol, std::string("the backup sent ") + wire::TypeName(reply.header.type) +
                                            " instead of " + wire::TypeName(wanted)});
    return end.status;
  }
  end = EndOf({StatusCode::kPeerLost, "the backup was not ready in time"});
  return end.status;
}

Result<std::shared_ptr<Link>> OpenLink(const ConnectOptions& options, wire::Connection kind, PrimaryConnection& c,
                                       ConnectionEnd& end, const std::function<void(std::shared_ptr<Link>)>& opened) {
  auto connected = Link::Connect(options.host, options.port, options.deadline, *options.clock);
  if (!connected.ok()) {
    end = EndOf(connected.status());
    return connected.status();
  }
  std::shared_ptr<Link> link = std::move(connected.value());
  link->SetSendTimeout(kind == wire::Connection::kControl ? options.deadline : options.deadline * kDataDeadlines);
  opened(link);
  wire::Hello hello;
  hello.connection = kind;
  if (!options.share) hello.features &= ~wire::kFeatureSharedPages;
  hello.deadline_ms = static_cast<uint32_t>(options.deadline.count());
  hello.token = c.token;
  hello.guest = options.guest;
  Status sent = link->Send(wire::Type::kHello, kSyncEpoch, wire::Encode(hello));
  if (!sent.ok()) {
    end = EndOf(sent);
    return sent;
  }
  Record record;
  HAVEN_RETURN_IF_ERROR(Await(*link, wire::Type::kHelloReply, options.deadline * 2, options.deadline * 2,
                              record, end));
  auto reply = wire::DecodeHelloReply(record.body);
  if (reply.ok() && (reply.value().features & ~hello.features) != 0) {
    reply = Status(StatusCode::kProtocol, "HELLO_REPLY record: features that were not offered");
  }
  if (!reply.ok()) {
    end = EndOf(reply.status());
    return reply.status();
  }
  c.token = reply.value().token;
  c.features = reply.value().features;
  c.backup_deadline_ms = reply.value().deadline_ms;
  return link;
}

}  // namespace

ConnectionEnd EndOf(Status status) { return {ConnectionEnd::Kind::kLost, std::move(status)}; }

ConnectionEnd EndOfError(const wire::ErrorBody& error) {
  Status status(StatusCode::kRefused, "the backup says: " + error.message);
  switch (error.code) {
    case wire::Error::kPromoted: return {ConnectionEnd::Kind::kPromoted, status};
    case wire::Error::kVersion:
    case wire::Error::kUnknownGuest:
    case wire::Error::kLayout: return {ConnectionEnd::Kind::kRefused, status};
    case wire::Error::kProtocol:
    case wire::Error::kBusy:
    case wire::Error::kEnvironment: break;
  }
  return {ConnectionEnd::Kind::kLost, status};
}

void PrimaryConnection::Close() {
  for (auto* link : {&control, &disk, &memory}) {
    if (*link) (*link)->Close();
  }
}

Result<std::unique_ptr<PrimaryConnection>> Connect(const ConnectOptions& options, ConnectionEnd& end,
                                                   const std::function<void(std::shared_ptr<Link>)>& opened) {
  auto c = std::make_unique<PrimaryConnection>();
  struct Wanted {
    wire::Connection kind;
    std::shared_ptr<Link>* link;
  };
  for (const Wanted& wanted : {Wanted{wire::Connection::kControl, &c->control},
                               Wanted{wire::Connection::kDisk, &c->disk},
                               Wanted{wire::Connection::kMemory, &c->memory}}) {
    auto link = OpenLink(options, wanted.kind, *c, end, opened);
    if (!link.ok()) {
      c->Close();
      return link.status();
    }
    *wanted.link = std::move(link.value());
  }
  return c;
}

Result<wire::Identity> ExchangeIdentity(Link& control, const wire::Identity& primary, milliseconds deadline, ConnectionEnd& end) {
  Status sent = control.Send(wire::Type::kIdentity, kSyncEpoch, wire::Encode(primary));
  if (!sent.ok()) {
    end = EndOf(sent);
    return sent;
  }
  Record record;
  // Under Xen the backup asks xl whether the guest runs there.
  HAVEN_RETURN_IF_ERROR(Await(control, wire::Type::kIdentity, deadline, kPrepareTimeout, record, end));
  auto backup = wire::DecodeIdentity(record.body);
  if (!backup.ok()) end = EndOf(backup.status());
  return backup;
}

Result<wire::Identity> AskBackup(const std::string& guest, const std::string& host, const std::string& port,
                                 const wire::Identity& primary, milliseconds deadline, Clock& clock) {
  ConnectOptions options{guest, host, port, deadline};
  options.clock = &clock;
  PrimaryConnection unused;
  ConnectionEnd end;
  auto link = OpenLink(options, wire::Connection::kQuery, unused, end, [](std::shared_ptr<Link>) {});
  if (!link.ok()) return end.status;
  auto backup = ExchangeIdentity(*link.value(), primary, deadline * kDataDeadlines, end);
  return backup.ok() ? backup : Result<wire::Identity>(end.status);
}

Result<wire::StoreReply> AskForStore(Link& control, const wire::Token& host, milliseconds deadline, ConnectionEnd& end) {
  Status sent = control.Send(wire::Type::kStore, kSyncEpoch, wire::Encode(wire::Store{host}));
  if (!sent.ok()) {
    end = EndOf(sent);
    return sent;
  }
  Record record;
  HAVEN_RETURN_IF_ERROR(Await(control, wire::Type::kStoreReply, deadline, deadline * 2, record, end));
  auto reply = wire::DecodeStoreReply(record.body);
  if (!reply.ok()) end = EndOf(reply.status());
  return reply;
}

Result<wire::LayoutReply> SendLayout(Link& control, const wire::Layout& layout, milliseconds deadline,
                                     ConnectionEnd& end) {
  Status sent = control.Send(wire::Type::kLayout, kSyncEpoch, wire::Encode(layout));
  if (!sent.ok()) {
    end = EndOf(sent);
    return sent;
  }
  Record record;
  HAVEN_RETURN_IF_ERROR(Await(control, wire::Type::kLayoutReply, deadline, kPrepareTimeout, record, end));
  auto reply = wire::DecodeLayoutReply(record.body);
  if (reply.ok() && reply.value().disks.size() != layout.disks.size()) {
    reply = Status(StatusCode::kProtocol, "LAYOUT_REPLY record: wrong number of disks");
  }
  if (!reply.ok()) end = EndOf(reply.status());
  return reply;
}

Result<wire::Token> HostToken() {
  constexpr char kPath[] = "/proc/sys/kernel/random/boot_id";
  std::string digits;
  std::getline(std::ifstream(kPath), digits);
  std::erase(digits, '-');
  wire::Token token;
  if (digits.size() != 2 * token.size() || digits.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return Status(StatusCode::kEnvironment, std::string("cannot read ") + kPath);
  }
  for (size_t i = 0; i < token.size(); i++) token[i] = static_cast<uint8_t>(std::stoul(digits.substr(2 * i, 2), nullptr, 16));
  return token;
}

}  // namespace haven::session
