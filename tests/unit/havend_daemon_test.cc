// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/daemon.h"

#include <filesystem>
#include <fstream>
#include <vector>

#include "qmp/line_socket.h"
#include "tests/unit/blkrep_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using haven::blkrep::test::TempFolder;
using haven::blkrep::test::WriteFile;
using haven::havend::Config;
using haven::havend::Daemon;
using haven::havend::GuestConfig;
using haven::qmp::Json;
using haven::qmp::LineSocket;

TEST_GROUP(HavendDaemon) {
  TempFolder folder;
  Config config;

  void setup() override {
    config.host = "127.0.0.1";
    config.port = "0";
    config.state_dir = folder.File("state");
    config.run_dir = folder.File("run");
    for (const char* name : {"web1", "web2", "web3"}) {
      GuestConfig guest;
      guest.name = name;
      guest.command = {"/bin/false"};
      config.guests.push_back(guest);
    }
    std::filesystem::create_directories(config.state_dir);
  }
  std::string Ask(const std::string& line) {
    auto socket = LineSocket::Connect(config.run_dir + "/havend.sock");
    CHECK_TRUE_TEXT(socket.ok(), socket.status().message().c_str());
    CHECK_TRUE(socket.value().Write(line).ok());
    auto answer = socket.value().Read(milliseconds(10000));
    CHECK_TRUE_TEXT(answer.ok(), answer.status().message().c_str());
    return answer.value();
  }
};

TEST(HavendDaemon, SaysWhatItHasOfWhatIsLimited) {
  config.half_open_limit = 16;
  auto daemon = Daemon::Start(config);
  CHECK_TRUE_TEXT(daemon.ok(), daemon.status().message().c_str());
  const auto descriptors = [&] {
    const Json havend = Json::Parse(Ask("{\"command\":\"status\"}")).value()["havend"];
    CHECK_EQUAL(16, havend["half_open_limit"].Int());
    CHECK_EQUAL(0, havend["half_open"].Int(-1));
    CHECK(havend["threads"].Int() > 1 && havend["threads_limit"].Int() > 1);
    CHECK(havend["descriptors"].Int() < havend["descriptors_limit"].Int());
    return havend["descriptors"].Int();
  };
  const int64_t before = descriptors();
  {
    std::vector<std::ifstream> files;
    for (int i = 0; i < 100; i++) files.emplace_back("/dev/null");
    CHECK(descriptors() >= before + 90);
  }
  CHECK(descriptors() < before + 10);
}

TEST(HavendDaemon, LeavesTheOtherGuestsTheirBackupWhenOneCannotBeUsed) {
  WriteFile(config.state_dir + "/web2", Bytes(10, 'x'));  // where its folder should be
  auto daemon = Daemon::Start(config);
  CHECK_TRUE_TEXT(daemon.ok(), daemon.status().message().c_str());
  auto answer = Json::Parse(Ask("{\"command\":\"status\"}"));
  CHECK_TRUE(answer.ok());
  const std::vector<Json> guests = answer.value()["guests"].Elements();
  CHECK_EQUAL(3, guests.size());
  for (const Json& guest : guests) {
    STRCMP_EQUAL(guest["name"].String() == "web2" ? "failed" : "waiting", guest["state"].String().c_str());
  }
  STRCMP_CONTAINS(("this backup cannot take guest web2: cannot make " + config.state_dir).c_str(),
                  Ask("{\"command\":\"failover\",\"guest\":\"web2\"}").c_str());
  STRCMP_CONTAINS("there is no complete checkpoint of guest web3",
                  Ask("{\"command\":\"failover\",\"guest\":\"web3\"}").c_str());
}
