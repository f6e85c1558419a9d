/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "havend/control_socket.h"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/guarded.h"
#include "havend/log.h"
#include "qmp/line_socket.h"

namespace haven::havend {

namespace {

using qmp::Json;

constexpr size_t kMaxConnections = 16;
constexpr milliseconds kIdleTimeout{60000};

std::string ErrorAnswer(const std::string& error) {
  return Json::Object().Set("ok", false).Set("error", error).ToString();
}

Result<int> ListenUnix(const std::string& path) {
  if (qmp::LineSocket::Connect(path).ok()) {
    return Status(StatusCode::kRefused, "another havend is running: it answers on " + path);
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return Status(StatusCode::kInvalid, path + " is too long for a socket; choose a shorter run-dir");
  }
  memcpy(address.sun_path, path.data(), path.size());
  unlink(path.c_str());
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return Status::FromErrno(errno, "cannot make a socket");
  // By the mask, so that there is no moment at which others may connect.
  mode_t mask = umask(0177);
  bool bound = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  int error = errno;
  umask(mask);
  if (bound && listen(fd, static_cast<int>(kMaxConnections)) == 0) return fd;
  if (bound) error = errno;
  close(fd);
  return Status::FromErrno(error, "cannot listen on " + path);
}

/// What a person decides about a copy; with "describe" only what that would throw away.
std::string HandleDecision(ControlTarget& target, const std::string& command, const Json& request) {
  const std::string guest = request["guest"].String();
  if (guest.empty()) return ErrorAnswer(command + " needs \"guest\", the name of a guest");
  if (request["describe"].Bool()) {
    Result<std::string> what = target.Describe(guest, command == "failover");
    return what.ok() ? Json::Object().Set("ok", true).Set("what", what.value()).ToString()
                     : ErrorAnswer(what.status().message());
  }
  Status done = command == "discard" ? target.Discard(guest) : target.Adopt(guest);
  return done.ok() ? Json::Object().Set("ok", true).ToString() : ErrorAnswer(done.message());
}

/// {"ok":true} with the members of `done`.
std::string AnswerOf(const Result<Json>& done) {
  if (!done.ok()) return ErrorAnswer(done.status().message());
  Json answer = Json::Object().Set("ok", true);
  for (const std::string& name : done.value().Members()) {
    answer.Set(name, done.value()[name.c_str()]);
  }
  return answer.ToString();
}

std::string HandlePromotion(ControlTarget& target, const std::string& command, const Json& request) {
  const std::string guest = request["guest"].String();
  if (guest.empty()) return ErrorAnswer(command + " needs \"guest\", the name of a guest");
  return AnswerOf(command == "handover"    ? target.HandOver(guest)
                  : request["cold"].Bool() ? target.FailoverCold(guest, request["force"].Bool())
                                           : target.Failover(guest, request["force"].Bool()));
}

}  // namespace

std::string HandleControlLine(ControlTarget& target, const std::string& line) {
  Result<Json> request = Json::Parse(line);
  if (!request.ok()) return ErrorAnswer("the request is " + request.status().message());
  if (!request.value().IsObject()) return ErrorAnswer("the request is not a JSON object");
  const std::string command = request.value()["command"].String();
  if (command == "status") {
    return Json::Object()
        .Set("ok", true)
        .Set("guests", target.QueryGuests())
        .Set("havend", target.QuerySelf())
        .ToString();
  }
  if (command == "reload") return AnswerOf(target.Reload());
  if (command == "discard" || command == "adopt" || request.value()["describe"].Bool()) {
    return HandleDecision(target, command, request.value());
  }
  if (command == "failover" || command == "handover") return HandlePromotion(target, command, request.value());
  return ErrorAnswer("unknown command '" + command + "' (known: status, failover, handover, discard, adopt, reload)");
}

Result<std::unique_ptr<ControlSocket>> ControlSocket::Open(const std::string& path, ControlTarget& target) {
  Result<int> fd = ListenUnix(path);
  if (!fd.ok()) return fd.status();
  return std::unique_ptr<ControlSocket>(new ControlSocket(path, fd.value(), target));
}

ControlSocket::ControlSocket(std::string path, int listen_fd, ControlTarget& target)
    : path_(std::move(path)),
      target_(target),
      connections_(
          std::make_unique<Connections>("control socket", listen_fd, kMaxConnections, [this](int fd) { Serve(fd); })) {}

ControlSocket::~ControlSocket() {
  unlink(path_.c_str());
  connections_->Stop();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
    // Input only: an answer that is under way still leaves.
    for (int fd : open_) shutdown(fd, SHUT_RD);
  }
  connections_.reset();
}

std::string ControlSocket::Answer(const std::string& line) {
  std::string answer;
  const Status handled = Guarded([&] {
    answer = HandleControlLine(target_, line);
    return Status::Ok();
  });
  return handled.ok() ? answer : ErrorAnswer(handled.message());
}

void ControlSocket::Serve(int fd) {
  qmp::LineSocket socket(fd);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_) return;
    open_.insert(fd);
  }
  for (;;) {
    const Status answered = Guarded([&] {
      Result<std::string> line = socket.Read(kIdleTimeout);
      if (!line.ok()) return line.status();
      return socket.Write(Answer(line.value()));
    });
    if (!answered.ok()) break;
  }
  std::lock_guard<std::mutex> lock(mutex_);
  open_.erase(fd);
}

}  // namespace haven::havend
