// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/format.h"

#include <CppUTest/TestHarness.h>

using haven::cli::FormatBytes;
using haven::cli::FormatDevices;
using haven::cli::FormatGuests;
using haven::cli::FormatHavend;
using haven::cli::FormatLastEpoch;
using haven::cli::FormatLimits;
using haven::cli::FormatMicros;
using haven::cli::FormatNewer;
using haven::cli::FormatTable;
using haven::cli::Percent;
using haven::qmp::Json;

TEST_GROUP(CliFormat){};

TEST(CliFormat, WritesAmountsWithThreeDigits) {
  STRCMP_EQUAL("1023 B", FormatBytes(1023).c_str());
  STRCMP_EQUAL("1.00 KiB", FormatBytes(1024).c_str());
  STRCMP_EQUAL("64.0 MiB", FormatBytes(64u << 20).c_str());
  STRCMP_EQUAL("0.98 GiB", FormatBytes(1000ull << 20).c_str());
  STRCMP_EQUAL("16.0 EiB", FormatBytes(~0ull).c_str());
  STRCMP_EQUAL("999 us", FormatMicros(999).c_str());
  STRCMP_EQUAL("1.25 ms", FormatMicros(1250).c_str());
  STRCMP_EQUAL("123 ms", FormatMicros(123456).c_str());
  STRCMP_EQUAL("3.40 s", FormatMicros(3400000).c_str());
}

TEST(CliFormat, SaysHundredPercentOnlyWhenAllIsDone) {
  CHECK_EQUAL(0, Percent(0, 1000));
  CHECK_EQUAL(99, Percent(999999, 1000000));
  CHECK_EQUAL(100, Percent(5, 5));
  CHECK_EQUAL(100, Percent(0, 0));
}

TEST(CliFormat, MakesColumnsAsWideAsTheirWidestCell) {
  STRCMP_EQUAL("a    bb\nccc  d\n", FormatTable({{"a", "bb"}, {"ccc", "d"}}).c_str());
}

TEST(CliFormat, ShowsWhatBecomesOfEachDevice) {
  const auto devices = Json::Parse(R"([{"path":"nic0","type":"e1000","coverage":"held"},)"
                                   R"({"path":"tty","type":"isa-serial","coverage":"not-held","why":"it\nleaves"}])");
  CHECK(devices.ok());
  const std::string text = FormatDevices(devices.value());
  STRCMP_CONTAINS("nic0    e1000       held", text.c_str());
  STRCMP_CONTAINS("tty     isa-serial  not held  it?leaves\n", text.c_str());
}

TEST(CliFormat, ShowsEachGuestOnALineAndItsReasonBelow) {
  Json primary = Json::Object().Set("name", "web1").Set("role", "primary").Set("state", "protected");
  primary.Set("epoch", 12).Set("epochs", 12).Set("pause_p50_us", 800).Set("pause_p99_us", 2100);
  primary.Set("lag_us", 52000).Set("memory_wire_bytes", 2048).Set("disk_wire_bytes", 0).Set("message", "");
  Json backup = Json::Object().Set("name", "db").Set("role", "backup").Set("state", "primary-lost");
  backup.Set("epoch", 7).Set("memory_wire_bytes", 10).Set("disk_wire_bytes", 5);
  backup.Set("message", "silent for\x1b 1000 ms");
  STRCMP_EQUAL(
      "GUEST  ROLE     STATE         EPOCH  PAUSE p50  PAUSE p99  LAG      MEMORY    DISK\n"
      "web1   primary  protected     12     800 us     2.10 ms    52.0 ms  2.00 KiB  0 B\n"
      "db     backup   primary-lost  7      -          -          -        10 B      5 B\n"
      "db: silent for? 1000 ms\n",
      FormatGuests({primary, backup}).c_str());
}

TEST(CliFormat, ShowsWhatAGuestDoesUnlessItRuns) {
  const auto shown = [](const char* state, const char* run) {
    return FormatGuests({Json::Object().Set("name", "web1").Set("state", state).Set("run_state", run)});
  };
  STRCMP_CONTAINS(" protected (io-error)  ", shown("protected", "io-error").c_str());
  STRCMP_CONTAINS(" promoted (paused)  ", shown("promoted", "paused").c_str());
  for (const char* usual : {"", "running", "unknown"})
    STRCMP_CONTAINS(" protected  ", shown("protected", usual).c_str());
  for (const char* state : {"waiting", "lost", "held"})
    CHECK(shown(state, "paused").find("paused") == std::string::npos);
}

TEST(CliFormat, ShowsWhatBecameOfTheLastEpoch) {
  Json guest = Json::Object().Set("epochs", 3).Set("dirty_pages_last", 512).Set("encoder_unchanged_pages", 2);
  guest.Set("encoder_changed_blocks", 900).Set("encoder_cache_hits", 384).Set("encoder_cache_misses", 128);
  guest.Set("encoder_bytes_after_blocks", 20480).Set("encoder_bytes_after_sharing", 10240).Set("encoder_bytes", 5120);
  guest.Set("encoder_us", 700).Set("encoder_compress_us", 300).Set("decode_us", 200).Set("apply_us", 1250);
  guest.Set("encoder_shared_pages", 40);
  STRCMP_EQUAL(
      "last epoch:  dirty pages        512 (2.00 MiB)\n"
      "             unchanged          2\n"
      "             changed blocks     900\n"
      "             found in cache     75%\n"
      "             shared             40\n"
      "             after blocks       20.0 KiB\n"
      "             after sharing      10.0 KiB\n"
      "             after compression  5.00 KiB, sent\n"
      "             encoding           700 us, of it compression 300 us\n"
      "             at the backup      decoding 200 us, applying the epoch before 1.25 ms\n",
      FormatLastEpoch(guest).c_str());
  STRCMP_EQUAL("", FormatLastEpoch(Json::Object().Set("role", "backup").Set("epoch", 7)).c_str());
}

TEST(CliFormat, ShowsHowFarTheFirstCopyIs) {
  Json guest = Json::Object().Set("name", "g").Set("role", "primary").Set("state", "syncing");
  guest.Set("sync_done_bytes", 45).Set("sync_total_bytes", 100);
  STRCMP_CONTAINS("syncing 45%", FormatGuests({guest}).c_str());
}

TEST(CliFormat, SaysWhoseCopyIsNewer) {
  STRCMP_EQUAL("", FormatNewer(Json::Object()).c_str());
  STRCMP_EQUAL("newer copy: backup\n", FormatNewer(Json::Object().Set("newer", "backup")).c_str());
  STRCMP_EQUAL("newer copy: both are equal, generation here: 00000000000000ff\n",
               FormatNewer(Json::Object().Set("newer", "equal").Set("generation", "00000000000000ff")).c_str());
}

TEST(CliFormat, ShowsFiguresBesideTheirLimits) {
  Json primary = Json::Object().Set("output_held_bytes", 512).Set("output_limit_bytes", 64 << 20);
  STRCMP_EQUAL("output held: 512 B of 64.0 MiB, lag of the commit: 2.10 ms of 60.0 s\n",
               FormatLimits(primary.Set("commit_lag_us", 2100).Set("commit_lag_limit_us", 60000000)).c_str());
  STRCMP_EQUAL("", FormatLimits(Json::Object().Set("output_limit_bytes", 0)).c_str());  // never protected
  Json backup = Json::Object().Set("journal_bytes", 1 << 20).Set("journal_limit_bytes", uint64_t{16} << 30);
  STRCMP_EQUAL("journal: 1.00 MiB of 16.0 GiB\n", FormatLimits(backup).c_str());
  Json havend = Json::Object().Set("descriptors", 31).Set("descriptors_limit", 1024).Set("threads", 9);
  havend.Set("threads_limit", 4915).Set("half_open", 1).Set("half_open_limit", 64);
  STRCMP_EQUAL("havend: descriptors 31 of 1024, threads 9 of 4915, half-open connections 1 of 64\n",
               FormatHavend(havend).c_str());
  STRCMP_EQUAL("", FormatHavend(Json()).c_str());  // an older one
}
