// SPDX-License-Identifier: GPL-2.0-or-later
// Failovers of two simulated hosts, chosen by seeds: see tests/sim/README.md.
#include <getopt.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>

#include "tests/sim/one_run.h"
#include "tests/sim/points.h"
#include "tests/sim/search.h"

namespace haven::sim {
namespace {

struct Options {
  unsigned failovers = 2000;
  uint64_t seed = 1;
  bool one_seed = false, endless = false, twice = false, quiet = false;
  unsigned processes = 2;
};

[[noreturn]] void Usage(int status) {
  fprintf(status == 0 ? stdout : stderr,
          "usage: tests/sim/run [--failovers N] [--first SEED | --new] [--seed SEED] [--break NAME] [--endless] "
          "[--twice] [--silence] [--processes N]\n");
  exit(status);
}

Options Parse(int argc, char** argv) {
  Options options;
  const option kLong[] = {{"failovers", 1, nullptr, 'n'},
                          {"first", 1, nullptr, 'f'},
                          {"seed", 1, nullptr, 's'},
                          {"break", 1, nullptr, 'b'},
                          {"endless", 0, nullptr, 'e'},
                          {"twice", 0, nullptr, 't'},
                          {"processes", 1, nullptr, 'p'},
                          {"help", 0, nullptr, 'h'},
                          {"silence", 0, nullptr, 'i'},
                          {"new", 0, nullptr, 'w'},
                          {}};
  for (int c; (c = getopt_long(argc, argv, "", kLong, nullptr)) != -1;) {
    switch (c) {
      case 'n': options.failovers = static_cast<unsigned>(strtoul(optarg, nullptr, 10)); break;
      case 'f': options.seed = strtoull(optarg, nullptr, 10); break;
      case 'w':
        options.seed = uint64_t{std::random_device()()} << 16;
        printf("the first seed is %lu\n", static_cast<unsigned long>(options.seed));
        fflush(stdout);
        break;
      case 's':
        options.seed = strtoull(optarg, nullptr, 10);
        options.one_seed = true;
        break;
      case 'b': setenv("HAVEN_BREAK", optarg, 1); break;
      case 'e': options.endless = true; break;
      case 'i': LetSilenceDecide(); break;
      case 't': options.twice = true; break;
      case 'p': options.processes = static_cast<unsigned>(std::max(1ul, strtoul(optarg, nullptr, 10))); break;
      case 'h': Usage(0);
      default: Usage(2);
    }
  }
  if (optind != argc) Usage(2);
  return options;
}

/// The fewest faults of the plan with which the run still fails.
uint64_t Shrink(uint64_t seed) {
  uint64_t dropped = 0;
  for (size_t i = 0; i < CountFaults(seed); i++) {
    const uint64_t without = dropped | uint64_t{1} << i;
    if (!RunInChild(seed, without, false).violation.empty()) dropped = without;
  }
  return dropped;
}

void Tell(uint64_t seed, const Result& result) {
  fprintf(stderr, "seed %lu: %s\n", static_cast<unsigned long>(seed), result.violation.c_str());
  const uint64_t dropped = Shrink(seed);
  fprintf(stderr, "--- the same with the fewest faults:\n");
  (void)RunInChild(seed, dropped, true);
  fprintf(stderr, "--- again: tests/sim/run --seed %lu\n", static_cast<unsigned long>(seed));
}

int RunOne(const Options& options) {
  const Result result = RunInChild(options.seed, 0, true);
  printf("{\"failovers\": %u, \"violations\": %d, \"seconds\": %.1f, \"states\": %zu, \"trace\": \"%016lx\"}\n",
         result.failovers, !result.violation.empty(), result.seconds, result.met.size(),
         static_cast<unsigned long>(result.trace_hash));
  return result.violation.empty() ? 0 : 1;
}

int RunMany(const Options& options) {
  Pool pool(options.processes);
  Search search(options.seed);
  const double begin = Seconds();
  unsigned failovers = 0, violations = 0, runs = 0, differ = 0;
  while (true) {
    const bool more = (options.endless || failovers < options.failovers) && violations == 0;
    while (more && pool.free() && search.HasNext()) pool.Begin(search.Next());
    if (!pool.busy()) break;
    const auto [seed, result] = pool.Await();
    runs++;
    failovers += result.failovers;
    search.Ran(seed, result.met);
    if (options.twice && RunInChild(seed, 0, false).trace_hash != result.trace_hash) {
      differ++;
      fprintf(stderr, "seed %lu: another run of it differs\n", static_cast<unsigned long>(seed));
    }
    if (result.violation.empty()) continue;
    violations++;
    Tell(seed, result);
  }
  const Coverage& coverage = search.coverage();
  if (violations == 0) printf("states of both sides, and what never came there:\n%s", coverage.DescribeNever().c_str());
  const PointTable points(coverage);
  if (violations == 0) {
    printf(
        "points of the protocol in each mode with 1, 2 and 4 epochs in flight: %zu; a side was lost at %zu (at %zu "
        "with "
        "as many in flight), another mode was chosen at %zu (%zu); never:\n%s",
        points.all, points.losses, points.full_losses, points.switches, points.full_switches, points.never.c_str());
  }
  if (options.twice) printf("%u of %u runs differed when they were repeated\n", differ, runs);
  printf(
      "{\"failovers\": %u, \"violations\": %u, \"seconds\": %.1f, \"states\": %zu, \"never\": %zu, "
      "\"points\": %zu, \"points_never\": %zu, \"runs\": %u, \"first\": %lu}\n",
      failovers, violations, Seconds() - begin, coverage.reached(), coverage.never(), points.losses + points.switches,
      2 * points.all - points.losses - points.switches, runs, static_cast<unsigned long>(options.seed));
  return violations == 0 && differ == 0 ? 0 : 1;
}

int Main(int argc, char** argv) {
  const Options options = Parse(argc, argv);
  return options.one_seed && !options.twice ? RunOne(options) : RunMany(options);
}

}  // namespace
}  // namespace haven::sim

int main(int argc, char** argv) { return haven::sim::Main(argc, argv); }
