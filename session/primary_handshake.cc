// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/primary_handshake.h"

namespace haven::session {
namespace {

/// Starting the process that waits on the backup may take a while; the backup
/// sends heartbeats meanwhile.
constexpr milliseconds kPrepareTimeout{60000};

/// How long an answer may take.
struct Patience {
  milliseconds silence;  ///< until any record comes
  milliseconds total;
};

/// The answer of type `wanted` to one request; heartbeats are passed over.
Status Await(Link& link, wire::Type wanted, const Patience& patience, Record& reply, ConnectionEnd& end) {
  Instant deadline = link.clock().Now() + patience.total;
  while (link.clock().Now() < deadline) {
    Status received = link.Receive(reply, patience.silence);
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

/// Sends a record and has the answer of the type that is due. @return not Ok: `end` is filled.
template <typename Answer>
Result<Answer> Ask(Link& link, wire::Type type, const Bytes& body, wire::Type wanted,
                   Result<Answer> (*decode)(ByteSpan), const Patience& patience, ConnectionEnd& end) {
  Status sent = link.Send(type, kSyncEpoch, body);
  if (!sent.ok()) {
    end = EndOf(sent);
    return sent;
  }
  Record record;
  HAVEN_RETURN_IF_ERROR(Await(link, wanted, patience, record, end));
  auto answer = decode(record.body);
  if (!answer.ok()) end = EndOf(answer.status());
  return answer;
}

Result<std::shared_ptr<Link>> OpenLink(const ConnectOptions& options, wire::Connection kind, PrimaryLinks& c,
                                       ConnectionEnd& end, const std::function<void(std::shared_ptr<Link>)>& opened) {
  auto connected = Link::Connect(options.host, options.port, options.deadline, *options.clock, *options.dialer);
  if (!connected.ok()) {
    end = EndOf(connected.status());
    return connected.status();
  }
  std::shared_ptr<Link> link = std::move(connected.value());
  link->SetSendTimeout(kind == wire::Connection::kControl ? options.deadline : options.deadline * kDataDeadlines);
  opened(link);
  // Whoever asks outside of a session has the guest's output waiting, and asks again.
  const milliseconds patience = options.deadline * (kind == wire::Connection::kQuery ? 1 : 2);
  wire::Hello hello;
  hello.connection = kind;
  if (!options.share) hello.features &= ~wire::kFeatureSharedPages;
  hello.features |= options.arbiter ? wire::kFeatureArbiter : wire::kFeatureNoArbiter;
  hello.deadline_ms = static_cast<uint32_t>(options.deadline.count());
  hello.token = c.token;
  hello.guest = options.guest;
  auto reply = Ask(*link, wire::Type::kHello, wire::Encode(hello), wire::Type::kHelloReply, wire::DecodeHelloReply,
                   {patience, patience}, end);
  if (reply.ok() && (reply.value().features & ~hello.features) != 0) {
    reply = Status(StatusCode::kProtocol, "HELLO_REPLY record: features that were not offered");
    end = EndOf(reply.status());
  }
  if (!reply.ok()) return reply.status();
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

void PrimaryLinks::Close() {
  for (auto* link : {&control, &disk, &memory}) {
    if (*link) (*link)->Close();
  }
}

Result<std::unique_ptr<PrimaryLinks>> Connect(const ConnectOptions& options, ConnectionEnd& end,
                                              const std::function<void(std::shared_ptr<Link>)>& opened) {
  auto c = std::make_unique<PrimaryLinks>();
  struct Wanted {
    wire::Connection kind;
    std::shared_ptr<Link>* link;
  };
  for (const Wanted& wanted :
       {Wanted{wire::Connection::kControl, &c->control}, Wanted{wire::Connection::kDisk, &c->disk},
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

Result<wire::Identity> ExchangeIdentity(Link& control, const wire::Identity& primary, milliseconds deadline,
                                        ConnectionEnd& end) {
  // Under Xen the backup asks xl whether the guest runs there.
  return Ask(control, wire::Type::kIdentity, wire::Encode(primary), wire::Type::kIdentity, wire::DecodeIdentity,
             {deadline, kPrepareTimeout}, end);
}

Result<wire::Identity> AskBackup(const ConnectOptions& options, const wire::Identity& primary,
                                 const std::function<void(std::shared_ptr<Link>)>& opened) {
  PrimaryLinks unused;
  ConnectionEnd end;
  auto link = OpenLink(options, wire::Connection::kQuery, unused, end, opened);
  if (!link.ok()) return end.status;
  auto backup = ExchangeIdentity(*link.value(), primary, options.deadline * kDataDeadlines, end);
  return backup.ok() ? backup : Result<wire::Identity>(end.status);
}

Result<wire::StoreReply> AskForStore(Link& control, const wire::Token& host, milliseconds deadline,
                                     ConnectionEnd& end) {
  return Ask(control, wire::Type::kStore, wire::Encode(wire::Store{host}), wire::Type::kStoreReply,
             wire::DecodeStoreReply, {deadline, deadline * 2}, end);
}

Result<wire::LayoutReply> SendLayout(Link& control, const wire::Layout& layout, milliseconds deadline,
                                     ConnectionEnd& end) {
  auto reply = Ask(control, wire::Type::kLayout, wire::Encode(layout), wire::Type::kLayoutReply,
                   wire::DecodeLayoutReply, {deadline, kPrepareTimeout}, end);
  if (reply.ok() && reply.value().disks.size() != layout.disks.size()) {
    reply = Status(StatusCode::kProtocol, "LAYOUT_REPLY record: wrong number of disks");
    end = EndOf(reply.status());
  }
  return reply;
}

}  // namespace haven::session
