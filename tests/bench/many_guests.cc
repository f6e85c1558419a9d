// SPDX-License-Identifier: GPL-2.0-or-later
// What one havend needs for many guests: threads, memory and descriptors while they are idle, while each has a
// session, and when all primaries are gone. Primaries are made by hand, record by record; what waits for a guest is
// this program, which talks as a device model that waits does.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/spawn_program.h"
#include "qmp/json.h"
#include "qmp/line_socket.h"
#include "tests/unit/free_port.h"
#include "tests/unit/session_pair.h"

using namespace haven;
using namespace haven::session::test;
using haven::blkrep::test::TempFolder;
using haven::qmp::Json;
using haven::qmp::LineSocket;

namespace {

constexpr char kStandIn[] = "--stand-in";
constexpr milliseconds kDeadline{5000};
constexpr milliseconds kBeat{500};
constexpr milliseconds kPatience{120000};

[[noreturn]] void Die(const std::string& why) {
  fprintf(stderr, "many_guests: %s\n", why.c_str());
  exit(1);
}

/// A device model that waits: says yes to all that havend orders before a failover.
int StandIn(const std::string& command_line) {
  constexpr char kFd[] = "id=haven-control,fd=";
  const size_t at = command_line.find(kFd);
  if (at == std::string::npos) return 1;
  LineSocket socket(atoi(command_line.c_str() + at + strlen(kFd)));
  (void)socket.Write("{\"QMP\":{\"version\":{},\"capabilities\":[]}}").ok();
  while (true) {
    auto line = socket.Read(milliseconds(-1));
    if (!line.ok()) return 0;
    auto request = Json::Parse(line.value());
    if (!request.ok()) return 1;
    const bool machine = request.value()["execute"].String() == "qom-get";
    Json answer = Json::Object();
    answer.Set("return", machine ? Json("stand-in-machine") : Json::Object()).Set("id", request.value()["id"]);
    if (!socket.Write(answer.ToString()).ok()) return 0;
  }
}

/// What a process needs.
struct Need {
  long threads = 0, rss_kib = 0, descriptors = 0;
};

Need NeedOf(pid_t pid) {
  const std::string folder = "/proc/" + std::to_string(pid);
  Need need;
  std::ifstream status(folder + "/status");
  for (std::string word; status >> word;) {
    if (word == "Threads:") status >> need.threads;
    if (word == "VmRSS:") status >> need.rss_kib;
  }
  for ([[maybe_unused]] const auto& one : std::filesystem::directory_iterator(folder + "/fd")) need.descriptors++;
  return need;
}

/// One havend with its guests.
class Backup {
 public:
  Backup(const std::string& havend, const std::string& self, size_t guests);
  ~Backup();

  pid_t pid() const { return process_->pid(); }
  const std::string& port() const { return port_; }
  static std::string Guest(size_t number) { return "guest" + std::to_string(number); }
  /// Until all of its guests are in this state.
  void Await(const std::string& state);

 private:
  Json Status();

  TempFolder folder_;
  const size_t guests_;
  const std::string port_ = test::FreePort();
  std::unique_ptr<os::Process> process_;
};

Backup::Backup(const std::string& havend, const std::string& self, size_t guests) : guests_(guests) {
  const std::string config = folder_.File("havend.conf");
  {
    std::ofstream out(config);
    out << "[havend]\nlisten = 127.0.0.1:" << port_ << "\ninsecure = yes\nstate-dir = " << folder_.File("state")
        << "\nrun-dir = " << folder_.File("run") << "\n";
    for (size_t i = 0; i < guests; i++) {
      out << "[guest " << Guest(i) << "]\ncommand = " << self << " " << kStandIn
          << "\ndisk.vda = " << folder_.File(Guest(i)) << "\ncreate = yes\ndeadline-ms = " << kDeadline.count() << "\n";
    }
  }
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  const int log = open(folder_.File("log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  auto started = os::Spawn({{havend, "--foreground", "--config", config}, null, null, log});
  close(null);
  close(log);
  if (!started.ok()) Die(havend + ": " + started.status().message());
  process_ = std::move(started.value());
  Await("waiting");
}

Backup::~Backup() {
  kill(process_->pid(), SIGTERM);
  process_->Wait();
}

Json Backup::Status() {
  auto socket = LineSocket::Connect(folder_.File("run/havend.sock"));
  if (!socket.ok() || !socket.value().Write("{\"command\":\"status\"}").ok()) return {};
  auto line = socket.value().Read(kPatience);
  auto answer = line.ok() ? Json::Parse(line.value()) : line.status();
  return answer.ok() ? answer.value() : Json();
}

void Backup::Await(const std::string& state) {
  const Instant deadline = SteadyClock::now() + kPatience;
  size_t there = 0;
  while (SteadyClock::now() < deadline) {
    there = 0;
    for (const Json& guest : Status()["guests"].Elements()) there += guest["state"].String() == state;
    if (there == guests_) return;
    if (process_->WaitForEnd(milliseconds(50))) Die("havend " + process_->HowItEnded());
  }
  Die(std::to_string(there) + " of " + std::to_string(guests_) + " guests are " + state);
}

/// Primaries that say now and then that they are there.
class Primaries {
 public:
  Primaries() : beats_([this] { Beat(); }) {}
  ~Primaries() {
    {
      std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    beats_.join();
  }
  void Protect(const std::string& port, const std::string& guest) {
    auto session = std::make_unique<HandMadeSession>(port, guest);
    if (session->SendLayout().header.type != wire::Type::kLayoutReply) Die(guest + " is refused");
    session->SendEpoch(1);
    if (session->control.Next().header.type != wire::Type::kCommitted) Die("no commit for " + guest);
    std::lock_guard lock(mutex_);
    sessions_.push_back(std::move(session));
  }
  void End() {
    std::lock_guard lock(mutex_);
    for (auto& session : sessions_) session->Close();
    sessions_.clear();
  }

 private:
  void Beat() {
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, kBeat, [this] { return ending_; })) {
      for (auto& session : sessions_) {
        (void)session->control.link.Send(wire::Type::kHeartbeat, 0, wire::Encode(wire::Heartbeat{})).ok();
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<HandMadeSession>> sessions_;
  bool ending_ = false;
  std::thread beats_;
};

void Print(size_t guests, const char* state, const Backup& backup, Instant since) {
  const Need need = NeedOf(backup.pid());
  const double seconds = std::chrono::duration<double>(SteadyClock::now() - since).count();
  printf("| %zu | %s | %ld | %.1f | %ld | %.1f |\n", guests, state, need.threads,
         static_cast<double>(need.rss_kib) / 1024, need.descriptors, seconds);
  fflush(stdout);
}

void Measure(const std::string& havend, const std::string& self, size_t guests) {
  Instant since = SteadyClock::now();
  Backup backup(havend, self, guests);
  Print(guests, "idle", backup, since);
  since = SteadyClock::now();
  Primaries primaries;
  for (size_t i = 0; i < guests; i++) primaries.Protect(backup.port(), Backup::Guest(i));
  backup.Await("protecting");
  Print(guests, "in session", backup, since);
  since = SteadyClock::now();
  primaries.End();
  backup.Await("primary-lost");
  Print(guests, "primary lost", backup, since);
}

}  // namespace

int main(int argc, char** argv) {
  std::string line;
  for (int i = 1; i < argc; i++) line += std::string(argv[i]) + " ";
  if (argc > 1 && strcmp(argv[1], kStandIn) == 0) return StandIn(line);
  if (argc < 3) Die("usage: many_guests HAVEND NUMBER...");
  signal(SIGPIPE, SIG_IGN);
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  printf("| guests | state | threads | resident MiB | descriptors | s |\n|--:|---|--:|--:|--:|--:|\n");
  for (int i = 2; i < argc; i++) {
    Measure(argv[1], std::filesystem::canonical("/proc/self/exe"), static_cast<size_t>(atoi(argv[i])));
  }
  return 0;
}
