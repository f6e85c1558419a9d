// SPDX-License-Identifier: GPL-2.0-or-later
// The memory encoder against memcpy, memcmp, whole pages, zlib and QEMU's own
// XBZRLE, all on the same pages. Prints one JSON object a row and the targets.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/bench/memrep_measure.h"
#include "memrep/compression.h"

using namespace haven;
using namespace haven::bench;

namespace {

constexpr uint64_t kMiB = 1ull << 20;
constexpr uint64_t kTenGigabit = 1'250'000'000;
constexpr uint64_t kOneGigabit = 125'000'000;

struct Shape {
  unsigned run_bytes, words;
  std::string Name() const {
    return words != 0 ? "words " + std::to_string(words) : "run " + std::to_string(run_bytes);
  }
};
constexpr Shape kShapes[] = {{8, 0}, {64, 0}, {512, 0}, {4096, 0}, {0, 4}, {0, 16}, {0, 32}, {0, 64}};

/// A target and the worst row of those it is about.
struct Target {
  const char* name;
  const char* limit;
  bool at_least;
  double bound;
  double worst = 0;
  std::string row = "no row";

  void See(double value, const std::string& of) {
    if (row == "no row" || (at_least ? value < worst : value > worst)) {
      worst = value;
      row = of;
    }
  }
  bool met() const { return row != "no row" && (at_least ? worst >= bound : worst <= bound); }
};

struct Targets {
  Target identify{"block identification against memcmp, beyond the caches", ">= 0.70", true, 0.70};
  Target xbzrle{"encode against XBZRLE, speed, every row", ">= 1.00", true, 1.0};
  Target scattered{"encode against XBZRLE, speed, 16 or more scattered words", ">= 2.00", true, 2.0};
  Target bytes{"octets against XBZRLE, every row", "<= 1.03", false, 1.03};
  Target blocks{"octets against the changed 64-octet blocks, every row", "<= 1.275", false, 1.25 * 1.02};
  Target decode{"decode and apply against encode, speed, every row", ">= 1.00", true, 1.0};
  Target random{"random pages against whole pages, time", "<= 1.10", false, 1.10};
  Target size{"time with 16 GiB of guest against 256 MiB", "<= 1.10", false, 1.10};
};

class Program {
 public:
  /// @param only  rows whose name contains it; empty: all.
  Program(unsigned rounds, std::string only) : rounds_(rounds), only_(std::move(only)) {}

  void Shapes(uint64_t pages, bool all_contents, bool spread) {
    for (const Shape& shape : kShapes) {
      for (Content content : {Content::kRandom, Content::kZeros, Content::kText, Content::kPointers}) {
        if (!all_contents && content != Content::kRandom) continue;
        Load load;
        load.pages = pages;
        load.changed_bytes = shape.run_bytes;
        load.words = shape.words;
        load.content = content;
        load.spread = spread;
        Row(load, shape);
      }
    }
  }

  void GuestSizes() {
    double ns[2];
    for (int i = 0; i < 2; i++) {
      Load load;
      load.pages = 10000;
      load.changed_bytes = 0;
      load.words = 16;
      load.guest_bytes = i == 0 ? 256 * kMiB : 16384 * kMiB;
      ns[i] = Row(load, {0, 16}).encode_ns;
    }
    if (ns[0] != 0 && ns[1] != 0) targets_.size.See(ns[1] / ns[0], "words 16, 10000 pages");
  }

  /// A slow link: where compression pays.
  void SlowLink() {
    for (Content content : {Content::kText, Content::kPointers, Content::kRandom}) {
      Load load;
      load.pages = 1000;
      load.changed_bytes = 4096;
      load.content = content;
      memrep::EncoderOptions options;
      options.link_bytes_per_second = kOneGigabit;
      if (NameOf(load, {4096, 0}, options).find(only_) == std::string::npos) continue;
      Measured m = Measure(load, options, 30);
      Print(load, {4096, 0}, options, m);
    }
  }

  void Stages() {
    for (const Shape& shape : kShapes) {
      Load load;
      load.changed_bytes = shape.run_bytes;
      load.words = shape.words;
      if (shape.Name().find(only_) == std::string::npos) continue;
      StageCycles c = MeasureStages(load, OptionsFor(load), rounds_ * 4);
      printf(
          "{\"row\":\"cycles a page, %s, 10000 pages\",\"lookup\":%.0f,\"compare\":%.0f,\"code\":%.0f,\"update\":%.0f,"
          "\"sum\":%.0f,\"encode\":%.0f}\n",
          shape.Name().c_str(), c.lookup, c.compare, c.code, c.update, c.lookup + c.compare + c.code + c.update, c.all);
      fflush(stdout);
    }
  }

  void PrintTargets() {
    printf("{\"bench\":\"memrep\",\"targets\":[");
    const char* separator = "";
    for (const Target* t : {&targets_.identify, &targets_.xbzrle, &targets_.scattered, &targets_.bytes,
                            &targets_.blocks, &targets_.decode, &targets_.random, &targets_.size}) {
      printf("%s{\"name\":\"%s\",\"target\":\"%s\",\"measured\":%.3f,\"met\":%s,\"worst_row\":\"%s\"}", separator,
             t->name, t->limit, t->worst, t->met() ? "true" : "false", t->row.c_str());
      separator = ",";
    }
    printf("]}\n");
  }

 private:
  static memrep::EncoderOptions OptionsFor(const Load& load) {
    memrep::EncoderOptions options;
    options.link_bytes_per_second = kTenGigabit;
    options.cache_bytes = std::max(options.cache_bytes, 2 * load.pages * kPageBytes);
    return options;
  }

  Measured Row(const Load& load, const Shape& shape) {
    memrep::EncoderOptions options = OptionsFor(load);
    if (NameOf(load, shape, options).find(only_) == std::string::npos) return {};
    // Small sets are measured more often: they take less time and are noisier.
    unsigned rounds = load.pages <= 1000 ? rounds_ * 8 : rounds_;
    Measured m = Measure(load, options, rounds);
    Print(load, shape, options, m);
    Judge(load, NameOf(load, shape, options), m);
    return m;
  }

  void Judge(const Load& load, const std::string& name, const Measured& m) {
    if (load.pages >= 100000) targets_.identify.See(m.memcmp_ns / m.identify_ns, name);
    double speed = m.xbzrle_ns / m.encode_ns;
    targets_.xbzrle.See(speed, name);
    if (load.words >= 16) targets_.scattered.See(speed, name);
    targets_.bytes.See(static_cast<double>(m.bytes) / static_cast<double>(m.xbzrle_bytes), name);
    targets_.blocks.See(static_cast<double>(m.bytes) / static_cast<double>(m.changed_block_bytes), name);
    targets_.decode.See(m.encode_before_decode_ns / m.decode_ns, name);
    if (load.changed_bytes == 4096 && load.content == Content::kRandom)
      targets_.random.See(m.send_ns / m.raw_send_ns, name);
  }

  static double Rate(double ns) { return ns == 0 ? 0 : kPageBytes / ns; }

  static std::string NameOf(const Load& load, const Shape& shape, const memrep::EncoderOptions& options) {
    std::string name = shape.Name() + ", " + Name(load.content) + ", " + std::to_string(load.pages) + " pages" +
                       (load.spread ? " of " + std::to_string(load.guest_bytes / kMiB) + " MiB" : ", neighbours");
    return options.link_bytes_per_second != kTenGigabit ? name + ", 1 Gb/s" : name;
  }

  static void Print(const Load& load, const Shape& shape, const memrep::EncoderOptions& options, const Measured& m) {
    std::string name = NameOf(load, shape, options);
    auto per_page = [&](uint64_t bytes) { return static_cast<double>(bytes) / static_cast<double>(load.pages); };
    printf(
        "{\"row\":\"%s\",\"pages\":%lu,\"change\":\"%s\",\"content\":\"%s\",\"guest_mib\":%lu,\"link_mbit_s\":%lu,"
        "\"memcpy_gb_s\":%.2f,\"memcmp_gb_s\":%.2f,\"identify_gb_s\":%.2f,\"identify_equal_gb_s\":%.2f,"
        "\"xbzrle_gb_s\":%.2f,\"xbzrle_with_cache_gb_s\":%.2f,\"zlib_gb_s\":%.3f,"
        "\"encode_gb_s\":%.2f,\"encode_2_threads_gb_s\":%.2f,\"decode_gb_s\":%.2f,\"whole_sent_gb_s\":%.2f,\"sent_gb_"
        "s\":%.2f,"
        "\"bytes_per_page\":%.1f,\"xbzrle_bytes_per_page\":%.1f,\"zlib_bytes_per_page\":%.1f,\"changed_block_bytes_per_"
        "page\":%.1f,"
        "\"encode_ns_per_page\":%.0f,\"xbzrle_ns_per_page\":%.0f,\"hit_rate\":%.3f}\n",
        name.c_str(), load.pages, shape.Name().c_str(), Name(load.content), load.guest_bytes / kMiB,
        options.link_bytes_per_second / 125000, Rate(m.memcpy_ns), Rate(m.memcmp_ns), Rate(m.identify_ns),
        Rate(m.identify_equal_ns), Rate(m.xbzrle_ns), Rate(m.xbzrle_cached_ns), Rate(m.zlib_ns), Rate(m.encode_ns),
        Rate(m.encode_two_ns), Rate(m.decode_ns), Rate(m.raw_send_ns), Rate(m.send_ns), per_page(m.bytes),
        per_page(m.xbzrle_bytes), per_page(m.zlib_bytes), per_page(m.changed_block_bytes), m.encode_ns, m.xbzrle_ns,
        m.figures.pages == 0 ? 0.0 : static_cast<double>(m.figures.cache_hits) / static_cast<double>(m.figures.pages));
    fflush(stdout);
  }

  const unsigned rounds_;
  const std::string only_;
  Targets targets_;
};

}  // namespace

int main(int argc, char** argv) {
  unsigned rounds = 4;
  bool quick = false;
  bool stages_only = false;
  std::string only;
  for (int i = 1; i < argc; i++) {
    std::string argument = argv[i];
    if (argument == "--quick") {
      quick = true;
    } else if (argument == "--rounds" && i + 1 < argc) {
      rounds = static_cast<unsigned>(std::max(1, atoi(argv[++i])));
    } else if (argument == "--stages") {
      stages_only = true;
    } else if (argument == "--only" && i + 1 < argc) {
      only = argv[++i];
    } else {
      fprintf(stderr, "usage: memrep_bench [--quick] [--stages] [--rounds N] [--only TEXT]\n");
      return 2;
    }
  }
  fprintf(stderr, "kernels: %s\n", memrep::BestKernels().name);
  Program program(rounds, only);
  if (stages_only) {
    program.Stages();
    return 0;
  }
  program.Shapes(10000, !quick, true);
  if (!quick) {
    program.Shapes(100, false, true);
    program.Shapes(1000, false, true);
    program.Shapes(10000, false, false);
  }
  program.Shapes(100000, false, true);
  program.GuestSizes();
  program.SlowLink();
  program.Stages();
  program.PrintTargets();
  return 0;
}
