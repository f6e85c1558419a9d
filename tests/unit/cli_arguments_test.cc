// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/arguments.h"

#include <filesystem>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

#include <CppUTest/TestHarness.h>

using haven::Result;
using haven::StatusCode;
using haven::cli::Arguments;
using haven::cli::HelpText;
using haven::cli::ParseArguments;

namespace {

Result<Arguments> Parse(const std::string& line, const char* run_dir = nullptr) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return ParseArguments(words, run_dir);
}

Arguments Parsed(const std::string& line, const char* run_dir = nullptr) {
  Result<Arguments> arguments = Parse(line, run_dir);
  CHECK_TRUE_TEXT(arguments.ok(), arguments.status().message().c_str());
  return arguments.value();
}

void ExpectError(const char* message, const std::string& line) {
  Result<Arguments> arguments = Parse(line);
  CHECK_FALSE(arguments.ok());
  CHECK(arguments.status().code() == StatusCode::kInvalid);
  STRCMP_EQUAL(message, arguments.status().message().c_str());
}

}  // namespace

TEST_GROUP(CliArguments){};

TEST(CliArguments, ProtectTakesAllItsOptions) {
  Arguments a = Parsed(
      "protect web1 --to 10.0.0.2:7001 --interval 20 --deadline=300 --on-backup-loss pause "
      "--arbiter /bin/a --qmp /q.sock --timeout 5 --no-wait --output-limit 32 --lag-limit 20");
  STRCMP_EQUAL("web1", a.guest.c_str());
  CHECK_EQUAL(32u, a.output_limit_mib);
  CHECK_EQUAL(20u, a.lag_limit_s);
  STRCMP_EQUAL("10.0.0.2", a.host.c_str());
  STRCMP_EQUAL("7001", a.port.c_str());
  CHECK_EQUAL(20u, a.mode.interval_ms);
  CHECK_EQUAL(300u, a.deadline_ms);
  STRCMP_EQUAL("pause", a.on_backup_loss.c_str());
  STRCMP_EQUAL("/bin/a", a.arbiter.c_str());
  STRCMP_EQUAL("/q.sock", a.QmpPath().c_str());
  CHECK_EQUAL(5u, a.timeout_s);
  CHECK_FALSE(a.wait);
}

TEST(CliArguments, ProtectTakesOptionsOfTheEncoder) {
  Arguments a = Parsed(
      "protect g --to h --encoder blocks --compression zlib --block-bytes 256 --cache 64 --encoder-cpu 30 "
      "--encoder-threads 3 --share");
  CHECK_TRUE(a.encoder.share);
  STRCMP_EQUAL("blocks", a.encoder.stages.c_str());
  STRCMP_EQUAL("zlib", a.encoder.compression.c_str());
  CHECK_EQUAL(256u, a.encoder.block_bytes);
  CHECK_EQUAL(64u, a.encoder.cache_mib);
  CHECK_EQUAL(0u, a.encoder.cache_percent);
  CHECK_EQUAL(30u, a.encoder.cpu_percent);
  CHECK_EQUAL(3u, a.encoder.threads);
  a = Parsed("protect g --to h --cache 64 --cache 10%");  // the last one counts
  CHECK_FALSE(a.encoder.share);
  CHECK_EQUAL(0u, a.encoder.cache_mib);
  CHECK_EQUAL(10u, a.encoder.cache_percent);
  ExpectError("--encoder: must be all, none, blocks, sharing or compression, not 'some'",
              "protect g --to h --encoder some");
  ExpectError("--compression: must be adaptive, zlib, lz4 or zstd, not 'gzip'", "protect g --to h --compression gzip");
  ExpectError("--block-bytes: must be 64, 128 or 256, not '96'", "protect g --to h --block-bytes 96");
  ExpectError("--cache: must be a whole number from 1 to 1048576, not '0'", "protect g --to h --cache 0");
  ExpectError("--cache: percent: must be a whole number from 1 to 100, not '101'", "protect g --to h --cache 101%");
  ExpectError("--share takes no value", "protect g --to h --share=web");
  ExpectError("--encoder-cpu: must be a whole number from 1 to 100, not '0'", "protect g --to h --encoder-cpu 0");
}

TEST(CliArguments, ProtectHasTheDocumentedDefaults) {
  Arguments a = Parsed("protect --to backup web1");
  STRCMP_EQUAL("7789", a.port.c_str());
  CHECK_EQUAL(0u, a.mode.interval_ms);  // the device model's
  CHECK_EQUAL(1000u, a.deadline_ms);
  STRCMP_EQUAL("continue", a.on_backup_loss.c_str());
  STRCMP_EQUAL("/run/haven/web1.qmp", a.QmpPath().c_str());
  CHECK_TRUE(a.wait);
}

TEST(CliArguments, SetTakesSettingsAndProtectTheSameAsOptions) {
  Arguments a = Parsed("set g mode=adaptive latency=2.5 pause=800us overhead=30% max-age=500ms in-flight=2 predict=no");
  STRCMP_EQUAL("adaptive", a.mode.mode.c_str());
  CHECK_EQUAL(2500u, a.mode.latency_us);
  CHECK_EQUAL(800u, a.mode.pause_us);
  CHECK_EQUAL(30u, a.mode.overhead_percent);
  CHECK_EQUAL(500u, a.mode.max_age_ms);
  CHECK_EQUAL(2u, a.mode.in_flight);
  CHECK_FALSE(a.mode.predict.value_or(true));
  a = Parsed("protect g --to h --mode kemari --window 0.3 --interval=20ms --latency 7ms");
  STRCMP_EQUAL("kemari", a.mode.mode.c_str());
  CHECK_EQUAL(300u, a.mode.window_us);
  CHECK_EQUAL(20u, a.mode.interval_ms);
  CHECK_EQUAL(7000u, a.mode.latency_us);
  ExpectError("mode: must be remus, kemari or adaptive, not 'fast'", "set g mode=fast");
  ExpectError("latency: must be 0.1 to 10000 ms (or with us behind it), not '0'", "set g latency=0");
  ExpectError("latency: must be 0.1 to 10000 ms (or with us behind it), not '1.2.3'", "set g latency=1.2.3");
  ExpectError("--pause: must be 0.1 to 10000 ms (or with us behind it), not 'ms'", "protect g --to h --pause ms");
  ExpectError("predict: must be yes or no, not 'maybe'", "set g predict=maybe");
  ExpectError("overhead: must be a whole number from 1 to 90, not '95'", "set g overhead=95%");
  ExpectError(
      "'speed=3' is no SETTING=VALUE; settings are mode, interval, window, max-age, latency, pause, overhead, "
      "in-flight, predict",
      "set g speed=3");
  ExpectError("haven set needs what is to be set, such as mode=adaptive", "set g");
  ExpectError("haven set needs the name of a guest", "set mode=remus");
}

TEST(CliArguments, TheRunFolderComesFromTheOptionThenTheEnvironment) {
  STRCMP_EQUAL("/e/havend.sock", Parsed("status", "/e").ControlPath().c_str());
  STRCMP_EQUAL("/o/havend.sock", Parsed("status --run-dir /o", "/e").ControlPath().c_str());
  STRCMP_EQUAL("/run/haven/havend.sock", Parsed("status", "").ControlPath().c_str());
}

TEST(CliArguments, TakesIpv6AddressesInBrackets) {
  Arguments a = Parsed("protect g --to [fd00::2]:7001");
  STRCMP_EQUAL("fd00::2", a.host.c_str());
  STRCMP_EQUAL("7001", a.port.c_str());
  STRCMP_EQUAL("7789", Parsed("protect g --to [fd00::2]").port.c_str());
  ExpectError("--to: needs brackets around an IPv6 address: [fd00::2]", "protect g --to fd00::2");
  ExpectError("--to: has no ']': '[fd00::2'", "protect g --to [fd00::2");
  ExpectError("--to: must be [IPV6]:PORT, not '[fd00::2]7'", "protect g --to [fd00::2]7");
}

TEST(CliArguments, StatusNeedsNoGuest) {
  Arguments a = Parsed("status --json");
  CHECK_TRUE(a.json);
  STRCMP_EQUAL("", a.guest.c_str());
}

TEST(CliArguments, FailoverIsNotForcedUnlessTold) {
  CHECK_FALSE(Parsed("failover web1").force);
  CHECK_TRUE(Parsed("failover web1 --force").force);
}

TEST(CliArguments, ADomainsNumberStandsForItsName) {
  char folder[] = "/tmp/haven-cli-test-XXXXXX";
  CHECK(mkdtemp(folder) != nullptr);
  const std::string run_dir = folder, by_domid = run_dir + "/by-domid";
  CHECK_EQUAL(0, mkdir(by_domid.c_str(), 0700));
  CHECK_EQUAL(0, symlink("../web1.qmp", (by_domid + "/7").c_str()));
  Arguments a = Parsed("unprotect 7 --run-dir " + run_dir);
  ResolveDomid(a);
  STRCMP_EQUAL("web1", a.guest.c_str());
  Arguments unknown = Parsed("unprotect 8 --run-dir " + run_dir);
  ResolveDomid(unknown);
  STRCMP_EQUAL("8", unknown.guest.c_str());
  Arguments named = Parsed("unprotect web7 --run-dir " + run_dir);
  ResolveDomid(named);
  STRCMP_EQUAL("web7", named.guest.c_str());
  std::filesystem::remove_all(run_dir);
}

TEST(CliArguments, AFailoverIsPlannedOrForced) {
  CHECK_FALSE(Parsed("failover web1").planned);
  CHECK_TRUE(Parsed("failover web1 --planned").planned);
  ExpectError("--planned and --force exclude each other", "failover web1 --planned --force");
}

TEST(CliArguments, SaysInOneSentenceWhatIsWrong) {
  ExpectError("no command is given (check, protect, set, status, failover, unprotect, discard, adopt, reload)", "");
  ExpectError("'start' is no command (check, protect, set, status, failover, unprotect, discard, adopt, reload)",
              "start web1");
  ExpectError("haven protect needs the name of a guest", "protect --to h");
  ExpectError("haven protect needs --to HOST[:PORT], the host that runs havend", "protect web1");
  ExpectError("haven status has no option --force", "status --force");
  ExpectError("haven failover has no option --qmp", "failover web1 --qmp /x");
  ExpectError("--to needs a value", "protect web1 --to");
  ExpectError("--json takes no value", "status --json=yes");
  ExpectError("'web2' is one argument too many", "unprotect web1 web2");
  ExpectError("'../x' is not the name of a guest", "unprotect ../x");
  ExpectError("--interval: must be a whole number from 1 to 60000, not '0'", "protect g --to h --interval 0");
  ExpectError("--deadline: must be a whole number from 50 to 60000, not '1s'", "protect g --to h --deadline 1s");
  ExpectError("--on-backup-loss: must be continue or pause, not 'stop'", "protect g --to h --on-backup-loss stop");
  ExpectError("--to: port: must be a whole number from 1 to 65535, not '70000'", "protect g --to h:70000");
  ExpectError("--to: must be HOST or HOST:PORT, not ':1'", "protect g --to :1");
}

TEST(CliArguments, HelpIsGivenForEachCommandAndForAll) {
  CHECK_TRUE(Parsed("--help").help);
  Arguments a = Parsed("protect --help");
  CHECK_TRUE(a.help);
  STRCMP_CONTAINS("--on-backup-loss", HelpText(a.command).c_str());
  STRCMP_CONTAINS("--json", HelpText("status").c_str());
  STRCMP_CONTAINS("--force", HelpText("failover").c_str());
  STRCMP_CONTAINS("haven unprotect", HelpText("unprotect").c_str());
  STRCMP_CONTAINS("haven COMMAND --help", HelpText("").c_str());
}

TEST(CliArguments, ReloadIsAboutNoSingleGuest) {
  CHECK_TRUE(Parse("reload --run-dir /r").ok());
  ExpectError("haven reload takes no guest: it is about all of them", "reload web1");
}
