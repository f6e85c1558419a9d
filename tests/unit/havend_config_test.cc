// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/config.h"

#include <fstream>
#include <string>

#include "tests/unit/blkrep_support.h"

#include <CppUTest/TestHarness.h>

using haven::Result;
using haven::StatusCode;
using haven::blkrep::test::TempFolder;
using haven::havend::Config;
using haven::havend::LoadConfig;
using haven::havend::ParseConfig;

namespace {

constexpr char kHead[] = "[havend]\nlisten = 10.0.0.2:7789\ninsecure = yes\n";
constexpr char kGuest[] = "[guest web1]\ncommand = /bin/true -name web1\n";

std::string ErrorOf(const std::string& text) {
  Result<Config> config = ParseConfig(text, "h.conf");
  CHECK_FALSE(config.ok());
  CHECK(config.status().code() == StatusCode::kInvalid);
  return config.status().message();
}

std::string GuestErrorOf(const std::string& line) { return ErrorOf(std::string(kHead) + kGuest + line + "\n"); }

std::string HavendErrorOf(const std::string& lines) { return ErrorOf("[havend]\n" + lines + "\n" + kGuest); }

void ExpectContains(const std::string& text, const char* part) { STRCMP_CONTAINS(part, text.c_str()); }

}  // namespace

TEST_GROUP(HavendConfig){};

TEST(HavendConfig, ReadsAllThatItKnows) {
  Result<Config> parsed = ParseConfig(
      "# comment\n[havend]\nlisten = [fd00::2]:7001\nstate-dir = /s/\nrun-dir = /r\ninsecure = yes\nhalf-open-limit = "
      "16\nshare-memory-mb = "
      "64\n"
      "[guest web1]\ncommand = /bin/true -name 'a b' -x \"c\\\"d\"\nram-region = mem0\n"
      "disk.disk0 = /d/0.raw\ndisk.disk1 = /dev/vg/d1\ncreate = yes\nother-machine = allow\ndisk-ack = "
      "durable\npromote = auto\n"
      "deadline-ms = 250\narbiter = /bin/arbiter --x 'y z'\nmemory-limit-mb = 1024\njournal-limit-mb = 128\nshare = "
      "web\n"
      "[guest db]\ncommand = /bin/false\n",
      "h.conf");
  CHECK_TRUE_TEXT(parsed.ok(), parsed.status().message().c_str());
  const Config& config = parsed.value();
  STRCMP_EQUAL("fd00::2", config.host.c_str());
  STRCMP_EQUAL("7001", config.port.c_str());
  STRCMP_EQUAL("/s/web1", config.GuestStateDir(config.guests[0]).c_str());
  STRCMP_EQUAL("/r/web1.qmp", config.QmpPath(config.guests[0]).c_str());
  CHECK_EQUAL(2u, config.guests.size());
  const auto& web = config.guests[0];
  CHECK_EQUAL(5u, web.command.size());
  STRCMP_EQUAL("a b", web.command[2].c_str());
  STRCMP_EQUAL("c\"d", web.command[4].c_str());
  STRCMP_EQUAL("mem0", web.ram_region.c_str());
  STRCMP_EQUAL("/dev/vg/d1", web.disks.at("disk1").c_str());
  CHECK_TRUE(web.create);
  CHECK_TRUE(web.other_machine);
  CHECK_TRUE(web.disk_ack == haven::session::DiskAck::kDurable);
  CHECK_TRUE(web.auto_promote);
  CHECK_EQUAL(250, web.deadline.count());
  STRCMP_EQUAL("/bin/arbiter --x 'y z'", web.arbiter.c_str());
  CHECK_EQUAL(1024ull << 20, web.memory_limit_bytes);
  CHECK_EQUAL(128ull << 20, web.journal_limit_bytes);
  STRCMP_EQUAL("web", web.share.c_str());
  CHECK_EQUAL(64u, config.share_memory_mib);
  CHECK_EQUAL(16u, config.half_open_limit);
}

TEST(HavendConfig, HasSafeDefaults) {
  Result<Config> parsed = ParseConfig(std::string(kHead) + kGuest, "h.conf");
  CHECK_TRUE(parsed.ok());
  STRCMP_EQUAL("/var/lib/haven", parsed.value().state_dir.c_str());
  STRCMP_EQUAL("/run/haven", parsed.value().run_dir.c_str());
  const auto& guest = parsed.value().guests[0];
  CHECK_FALSE(guest.auto_promote);
  CHECK_FALSE(guest.create);
  CHECK_FALSE(guest.other_machine);
  CHECK_TRUE(guest.disk_ack == haven::session::DiskAck::kReceived);
  CHECK_EQUAL(1000, guest.deadline.count());
  STRCMP_EQUAL("pc.ram", guest.ram_region.c_str());
  CHECK_EQUAL(65536ull << 20, guest.memory_limit_bytes);
  CHECK_EQUAL(16384ull << 20, guest.journal_limit_bytes);
  STRCMP_EQUAL("", guest.share.c_str());
  CHECK_EQUAL(256u, parsed.value().share_memory_mib);
  CHECK_EQUAL(64u, parsed.value().half_open_limit);
}

TEST(HavendConfig, NamesFileLineGroupAndKeyOfAMistake) {
  STRCMP_EQUAL("h.conf: line 6: [guest web1] promote: must be manual or auto, not 'maybe'",
               GuestErrorOf("promote = maybe").c_str());
}

TEST(HavendConfig, NamesTheLineThatIsNothing) {
  auto parsed = ParseConfig("# two guests\n[havend]\nlisten = 1.2.3.4:1\nneither\n", "h.conf");
  ExpectContains(parsed.status().message(), "h.conf: line 4: ");
}

TEST(HavendConfig, RefusesPlainTcpUnlessTheAdministratorSaysSo) {
  std::string error = HavendErrorOf("listen = 1.2.3.4:1");
  ExpectContains(error, "[havend] insecure: ");
  ExpectContains(error, "without encryption");
  ExpectContains(HavendErrorOf("listen = 1.2.3.4:1\ninsecure = no"), "insecure = yes");
  ExpectContains(HavendErrorOf("listen = 1.2.3.4:1\ninsecure = ja"), "must be no or yes, not 'ja'");
}

TEST(HavendConfig, RefusesAutomaticPromotionWithoutAWordAboutTheArbiter) {
  STRCMP_CONTAINS("on-stuck: take-over needs an arbiter", GuestErrorOf("on-stuck = take-over").c_str());
  STRCMP_CONTAINS("on-stuck: take-over needs an arbiter", GuestErrorOf("on-stuck = take-over\narbiter = none").c_str());
  CHECK_TRUE(ParseConfig(std::string(kHead) + kGuest + "on-stuck = take-over\narbiter = /bin/true\n", "h.conf")
                 .value()
                 .guests[0]
                 .take_over_stuck);
  std::string error = GuestErrorOf("promote = auto");
  ExpectContains(error, "[guest web1] arbiter: is missing");
  ExpectContains(error, "arbiter = none");
}

TEST(HavendConfig, AcceptsNoArbiterWhenThatIsWritten) {
  Result<Config> parsed = ParseConfig(std::string(kHead) + kGuest + "promote = auto\narbiter = none\n", "h.conf");
  CHECK_TRUE(parsed.ok());
  STRCMP_EQUAL("", parsed.value().guests[0].arbiter.c_str());
}

TEST(HavendConfig, RefusesKeysAndGroupsItDoesNotKnow) {
  ExpectContains(GuestErrorOf("promot = auto"), "[guest web1] promot: is not a known key");
  ExpectContains(HavendErrorOf("lissen = x"), "[havend] lissen: is not a known key");
  ExpectContains(ErrorOf(std::string(kHead) + "[gast x]\na = b\n"), "[gast x] is not a known group");
}

TEST(HavendConfig, RefusesWhatIsGivenTwice) {
  ExpectContains(GuestErrorOf("promote = manual\npromote = auto"),
                 "line 7: [guest web1] promote is given a second time");
  ExpectContains(ErrorOf(std::string(kHead) + kGuest + kGuest), "[guest web1] is given a second time");
}

TEST(HavendConfig, RefusesOneDiskForTwoGuests) {
  ExpectContains(
      ErrorOf(std::string(kHead) + kGuest + "disk.a = /d/a\n[guest b]\ncommand = /bin/true\n" + "disk.x = /d/a\n"),
      "[guest b] disk.x: /d/a is already used by [guest web1] disk.a");
}

TEST(HavendConfig, RefusesOptionsThatHavendGivesItself) {
  for (const char* option : {"-daemonize", "--daemonize", "-incoming tcp:0:1", "--incoming defer"}) {
    std::string error = ErrorOf(std::string(kHead) + "[guest a]\ncommand = /q " + option + "\n");
    ExpectContains(error, "[guest a] command: must not contain -");
  }
}

TEST(HavendConfig, RefusesACommandThatIsRelativeEmptyOrBadlyQuoted) {
  const std::string head = std::string(kHead) + "[guest a]\n";
  ExpectContains(ErrorOf(head + "command = qemu\n"), "absolute path of a program, not 'qemu'");
  ExpectContains(ErrorOf(head + "command =\n"), "[guest a] command: cannot be split into words");
  ExpectContains(ErrorOf(head + "command = /q 'a\n"), "[guest a] command: cannot be split into words");
  ExpectContains(ErrorOf(head + "promote = manual\n"), "[guest a] command: is missing");
}

TEST(HavendConfig, StartsAGuestOfXenByItsXlCfgInsteadOfACommand) {
  const std::string head = std::string(kHead) + "[guest a]\n";
  Result<Config> config = ParseConfig(head + "xl-config = /etc/xen/a.cfg\n", "h.conf");
  CHECK_TRUE(config.ok());
  STRCMP_EQUAL("/etc/xen/a.cfg", config.value().guests[0].xl_config.c_str());
  CHECK_TRUE(config.value().guests[0].command.empty());
  ExpectContains(ErrorOf(head + "xl-config = a.cfg\n"), "[guest a] xl-config: must be an absolute path");
  ExpectContains(ErrorOf(head + "xl-config = /a\ncommand = /q\n"), "either by xl or by a command");
}

TEST(HavendConfig, LoadsAGuestOfXenAsATrialWhenItIsToldTo) {
  const std::string head = std::string(kHead) + "[guest a]\n";
  CHECK_FALSE(ParseConfig(head + "xl-config = /a\n", "h.conf").value().guests[0].trial);
  CHECK_TRUE(ParseConfig(head + "xl-config = /a\ntrial = yes\n", "h.conf").value().guests[0].trial);
  ExpectContains(ErrorOf(head + "xl-config = /a\ntrial = on\n"), "[guest a] trial: must be no or yes, not 'on'");
  ExpectContains(ErrorOf(head + "command = /q\ntrial = yes\n"), "[guest a] trial: is for guests that xl starts");
}

TEST(HavendConfig, RefusesNumbersOutOfTheirRange) {
  for (const char* value : {"49", "60001", "-1", "1e3", "", "99999999999999999999", "100 # ms"}) {
    ExpectContains(GuestErrorOf(std::string("deadline-ms = ") + value),
                   "[guest web1] deadline-ms: must be a whole number from 50 to 60000, not '");
  }
  ExpectContains(HavendErrorOf("insecure = yes\nlisten = h:1\nshare-memory-mb = 0"),
                 "[havend] share-memory-mb: must be a whole number from 1 to 1048576, not '0'");
  ExpectContains(GuestErrorOf("memory-limit-mb = 0"), "memory-limit-mb: must be a whole number from 1");
  ExpectContains(GuestErrorOf("journal-limit-mb = 63"), "journal-limit-mb: must be a whole number from 64");
}

TEST(HavendConfig, RefusesAddressesThatAreNone) {
  for (const char* value : {"10.0.0.2", ":7789", "fd00::2:7789", "[]:1"}) {
    ExpectContains(HavendErrorOf(std::string("insecure = yes\nlisten = ") + value),
                   "[havend] listen: must be HOST:PORT or [IPV6]:PORT");
  }
  ExpectContains(HavendErrorOf("insecure = yes\nlisten = h:0"), "[havend] listen: port: must be");
  ExpectContains(HavendErrorOf("insecure = yes"), "[havend] listen: is missing");
}

TEST(HavendConfig, RefusesNamesThatWouldLeaveTheStateFolder) {
  for (const char* name : {"../x", "a/b", "", ".", "-x", "a b"}) {
    ExpectContains(ErrorOf(std::string(kHead) + "[guest " + name + "]\ncommand = /q\n"), "h.conf: ");
  }
  ExpectContains(ErrorOf(std::string(kHead) + "[guest ../x]\ncommand = /q\n"), "a guest's name consists of letters");
}

TEST(HavendConfig, RefusesPathsThatAreRelativeOrTooLongForASocket) {
  ExpectContains(GuestErrorOf("disk.d = d.raw"), "[guest web1] disk.d: must be an absolute path");
  ExpectContains(GuestErrorOf("disk. = /d"), "must name a disk");
  ExpectContains(HavendErrorOf("insecure = yes\nlisten = h:1\nrun-dir = /" + std::string(100, 'x')),
                 "is too long for a socket");
}

TEST(HavendConfig, RefusesAGroupThatIsNoWord) {
  for (const char* value : {"", "two words"}) {
    ExpectContains(GuestErrorOf(std::string("share = ") + value),
                   "[guest web1] share: must be the name of a group, one word, not '");
  }
}

TEST(HavendConfig, RefusesAnEmptyConfiguration) {
  ExpectContains(ErrorOf(""), "h.conf: the group [havend] is missing");
  ExpectContains(ErrorOf(kHead), "no guest is configured");
  ExpectContains(ErrorOf("nonsense"), "h.conf: ");
}

TEST(HavendConfig, NamesAFileThatCannotBeRead) {
  Result<Config> config = LoadConfig("/nonexistent/h.conf");
  CHECK_FALSE(config.ok());
  STRCMP_CONTAINS("cannot read the configuration /nonexistent/h.conf: No such file", config.status().message().c_str());
}

TEST(HavendConfig, AGuestOfXenIsAnotherWhenItsXlCfgIs) {
  const TempFolder folder;
  const std::string cfg = folder.File("a.cfg"), file = folder.File("h.conf");
  std::ofstream(file) << std::string(kHead) + "[guest a]\nxl-config = " + cfg + "\n";
  const auto load = [&](const char* text) {
    std::ofstream(cfg) << text;
    auto config = LoadConfig(file);
    CHECK_TRUE_TEXT(config.ok(), config.status().message().c_str());
    return config.value().guests[0];
  };
  const auto first = load("memory = 64");
  CHECK_TRUE(first == load("memory = 64"));
  CHECK_FALSE(first == load("memory = 65"));
}
