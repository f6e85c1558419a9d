// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/sim/one_run.h"

#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "core/assert.h"
#include "core/records.h"
#include "tests/sim/director.h"
#include "tests/sim/unseen.h"

namespace haven::sim {
namespace {

/// Of the processor's time; a run takes some ten milliseconds. A machine that does much else gives it ten times that.
constexpr int kLongestSeconds = 60;

/// What changes from run to run is in memory.
class Folder {
 public:
  Folder() { HAVEN_ASSERT(mkdtemp(path_.data()) != nullptr); }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_ = "/dev/shm/haven-sim-XXXXXX";
};

const std::string& Root() {
  static const Folder folder;
  return folder.path();
}

/// Threads that take turns do so fastest on one processor.
void StayOnOneProcessor() {
  const int processor = sched_getcpu();
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(std::max(0, processor)), &set);
  (void)sched_setaffinity(0, sizeof(set), &set);
}

void WriteAll(int fd, const std::string& text) {
  for (size_t at = 0; at < text.size();) {
    const ssize_t n = write(fd, text.data() + at, text.size() - at);
    if (n <= 0) return;
    at += static_cast<size_t>(n);
  }
}

/// One line of numbers, one of words.
[[noreturn]] void Report(int fd, const World::Ending& ending, const std::set<uint32_t>& met) {
  std::string text = std::to_string(ending.trace_hash) + " " + std::to_string(ending.steps) + " " +
                     std::to_string(ending.failovers) + " " + std::to_string(met.size());
  for (uint32_t one : met) text += " " + std::to_string(one);
  WriteAll(fd, text + "\n" + ending.violation + "\n");
  const Seen seen;  // as ThreadSanitizer wants a thread to end
  _exit(0);
}

/// One thread runs at a time, and the system gives what is freed and taken again page by page.
void KeepMemory() {
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

[[noreturn]] void RunHere(uint64_t seed, uint64_t dropped, bool shown, const std::string& folder, int fd) {
  StayOnOneProcessor();
  KeepMemory();
  const itimerval longest{{}, {kLongestSeconds, 0}};
  (void)setitimer(ITIMER_PROF, &longest, nullptr);
  alarm(10 * kLongestSeconds);
  Plan plan = MakePlan(seed);
  std::vector<Fault> left;
  for (size_t i = 0; i < plan.faults.size(); i++) {
    if ((dropped >> i & 1) == 0) left.push_back(plan.faults[i]);
  }
  plan.faults = std::move(left);
  // Neither is ever destroyed.
  static Director* director = nullptr;
  auto* world = new World(seed, folder, plan.settings, shown,
                          [fd](const World::Ending& ending) { Report(fd, ending, director->watch().met()); });
  director = new Director(*world, plan);
  director->Start();
  world->Run();
  abort();
}

}  // namespace

Pool::Child Pool::Fork(uint64_t seed, uint64_t dropped, bool shown) {
  static unsigned number = 0;
  const std::string folder = Root() + "/" + std::to_string(number++);
  std::filesystem::create_directory(folder);
  int ends[2];
  HAVEN_ASSERT(pipe(ends) == 0);
  const double begin = Seconds();
  const pid_t pid = fork();
  HAVEN_ASSERT(pid >= 0);
  if (pid == 0) {
    close(ends[0]);
    RunHere(seed, dropped, shown, folder, ends[1]);
  }
  close(ends[1]);
  return {seed, pid, ends[0], begin, folder};
}

Result Pool::Finish(const Child& child) {
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = read(child.fd, buffer, sizeof(buffer))) > 0;) text.append(buffer, static_cast<size_t>(n));
  close(child.fd);
  int status = 0;
  waitpid(child.pid, &status, 0);
  std::filesystem::remove_all(child.folder);
  Result result;
  result.seconds = Seconds() - child.begin;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || text.empty()) {
    result.violation = "the simulation ended by signal " + std::to_string(WIFSIGNALED(status) ? WTERMSIG(status) : 0) +
                       ", status " + std::to_string(WIFEXITED(status) ? WEXITSTATUS(status) : 0);
    return result;
  }
  const char* at = text.c_str();
  char* end = nullptr;
  const auto next = [&] {
    const uint64_t value = strtoull(at, &end, 10);
    at = end;
    return value;
  };
  result.trace_hash = next();
  result.steps = next();
  result.failovers = static_cast<unsigned>(next());
  for (uint64_t left = next(); left > 0; left--) result.met.insert(static_cast<uint32_t>(next()));
  const size_t line = text.find('\n');
  result.violation = text.substr(line + 1, text.rfind('\n') - line - 1);
  return result;
}

void Pool::Begin(uint64_t seed) { running_.push_back(Fork(seed, 0, false)); }

std::pair<uint64_t, Result> Pool::Await() {
  std::vector<pollfd> waiting;
  for (const Child& child : running_) waiting.push_back({child.fd, POLLIN, 0});
  while (poll(waiting.data(), waiting.size(), -1) < 0) {
  }
  const auto ready = std::find_if(waiting.begin(), waiting.end(), [](const pollfd& fd) { return fd.revents != 0; });
  const auto child = running_.begin() + (ready - waiting.begin());
  const Child ended = *child;
  running_.erase(child);
  return {ended.seed, Finish(ended)};
}

Result RunInChild(uint64_t seed, uint64_t dropped, bool shown) {
  return Pool::Finish(Pool::Fork(seed, dropped, shown));
}

size_t CountFaults(uint64_t seed) { return MakePlan(seed).faults.size(); }
double Seconds() { return std::chrono::duration<double>(SteadyClock::now().time_since_epoch()).count(); }

}  // namespace haven::sim
