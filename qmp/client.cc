/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qmp/client.h"

#include <algorithm>

namespace haven::qmp {

namespace {

/// More are dropped, oldest first: nobody may be reading them.
constexpr size_t kMaxEvents = 256;

milliseconds Left(Instant deadline) {
  return std::max(milliseconds(0), std::chrono::ceil<milliseconds>(deadline - SteadyClock::now()));
}

}  // namespace

Result<std::unique_ptr<Client>> Client::Connect(const std::string& path, milliseconds timeout) {
  Result<LineSocket> socket = LineSocket::Connect(path);
  if (!socket.ok()) return socket.status();
  return Start(std::move(socket.value()), timeout);
}

Result<std::unique_ptr<Client>> Client::Start(LineSocket socket, milliseconds timeout) {
  std::unique_ptr<Client> client(new Client(std::move(socket)));
  if (Status greeted = client->AwaitGreeting(SteadyClock::now() + timeout); !greeted.ok()) return greeted;
  Result<Json> done = client->Execute("qmp_capabilities", {}, timeout);
  if (!done.ok()) return done.status();
  return Result<std::unique_ptr<Client>>(std::move(client));
}

/// QEMU serves one client after another. What it still owes to the last one (an
/// answer that was given up, an event) may come before the greeting.
Status Client::AwaitGreeting(Instant deadline) {
  for (;;) {
    Result<Json> message = ReadMessage(deadline);
    if (!message.ok()) return message.status().With("no QMP greeting");
    const Json& said = message.value();
    if (said["QMP"].IsObject()) return Status::Ok();
    if (!said.Has("event") && !said.Has("return") && !said.Has("error")) {
      return {StatusCode::kProtocol, "this is not a QMP socket"};
    }
  }
}

Result<Json> Client::ReadMessage(Instant deadline) {
  Result<std::string> line = socket_.Read(Left(deadline));
  if (!line.ok()) return line.status();
  Result<Json> message = Json::Parse(line.value());
  if (!message.ok()) return message.status();
  if (!message.value().IsObject()) {
    return Status(StatusCode::kProtocol, "the device model sent JSON that is no object");
  }
  return message;
}

Result<Json> Client::Execute(const std::string& command, const Json& arguments, milliseconds timeout, int attached) {
  const int64_t id = next_id_++;
  Json request = Json::Object().Set("execute", command).Set("id", id);
  if (arguments.IsObject()) request.Set("arguments", arguments);
  const Instant deadline = SteadyClock::now() + timeout;
  Status sent = socket_.Write(request.ToString(), attached);
  if (!sent.ok()) return sent.With(command);
  for (;;) {
    Result<Json> message = ReadMessage(deadline);
    if (!message.ok()) return message.status().With(command);
    const Json& answer = message.value();
    if (answer.Has("event")) {
      if (events_.size() == kMaxEvents) events_.pop_front();
      events_.push_back(answer);
    } else if (answer["id"].Int(-1) != id && answer.Has("id")) {
      continue;  // to a command that was given up
    } else if (answer.Has("error")) {
      error_class_ = answer["error"]["class"].String();
      return Status(StatusCode::kRefused, answer["error"]["desc"].String("unknown error"));
    } else if (answer.Has("return")) {
      return answer["return"];
    }
  }
}

Result<Json> Client::NextEvent(milliseconds timeout) {
  if (!events_.empty()) {
    Json event = events_.front();
    events_.pop_front();
    return event;
  }
  const Instant deadline = SteadyClock::now() + timeout;
  for (;;) {
    Result<Json> message = ReadMessage(deadline);
    if (!message.ok() || message.value().Has("event")) return message;
  }
}

}  // namespace haven::qmp
