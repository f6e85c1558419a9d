// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/control_socket.h"

#include <cstdlib>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

#include "qmp/line_socket.h"

#include <CppUTest/TestHarness.h>

using haven::milliseconds;
using haven::Result;
using haven::Status;
using haven::StatusCode;
using haven::havend::ControlSocket;
using haven::havend::ControlTarget;
using haven::havend::HandleControlLine;
using haven::qmp::Json;
using haven::qmp::LineSocket;

namespace {

class FakeTarget : public ControlTarget {
 public:
  Json QueryGuests() override {
    Json list = Json::Array();
    list.Append(Json::Object().Set("name", "web1").Set("state", "protecting").Set("epoch", 7));
    return list;
  }
  Json QuerySelf() override { return Json::Object().Set("descriptors", 5); }
  Result<Json> Failover(const std::string& guest, bool force) override {
    asked_guest = guest;
    asked_force = force;
    if (guest != "web1") return Status(StatusCode::kInvalid, "there is no guest " + guest);
    return Json::Object().Set("failover_ms", 12);
  }
  Result<Json> FailoverCold(const std::string& guest, bool force) override {
    asked = "cold " + guest + (force ? " by force" : "");
    return Json::Object().Set("name", guest);
  }
  Status Discard(const std::string& guest) override {
    asked = "discard " + guest;
    return Status::Ok();
  }
  Status Adopt(const std::string& guest) override {
    asked = "adopt " + guest;
    return Status(StatusCode::kRefused, "it runs");
  }
  Result<std::string> Describe(const std::string& guest, bool cold) override {
    asked = "describe " + guest;
    return std::string(cold ? "what a cold start loses" : "what is here");
  }
  Result<Json> HandOver(const std::string& guest) override {
    handed_over = guest;
    return Json::Object().Set("failover_ms", 3);
  }
  Result<Json> Reload() override {
    if (!file.ok()) return file;
    Json done = Json::Array();
    done.Append("guest web2: added");
    return Json::Object().Set("done", done);
  }
  std::string asked_guest, handed_over, asked;
  Status file;
  bool asked_force = false;
};

}  // namespace

TEST_GROUP(HavendControlSocket) {
  FakeTarget target;
  std::string Ask(const std::string& line) { return HandleControlLine(target, line); }
};

TEST(HavendControlSocket, AnswersStatusWithAllGuests) {
  STRCMP_EQUAL(
      "{\"ok\":true,\"guests\":[{\"name\":\"web1\",\"state\":\"protecting\",\"epoch\":7}],"
      "\"havend\":{\"descriptors\":5}}",
      Ask("{\"command\":\"status\"}").c_str());
}

TEST(HavendControlSocket, CarriesOutWhatAPersonDecides) {
  STRCMP_EQUAL("{\"ok\":true}", Ask("{\"command\":\"discard\",\"guest\":\"web1\"}").c_str());
  STRCMP_EQUAL("discard web1", target.asked.c_str());
  STRCMP_EQUAL("{\"ok\":false,\"error\":\"it runs\"}", Ask("{\"command\":\"adopt\",\"guest\":\"web1\"}").c_str());
  STRCMP_EQUAL("{\"ok\":true,\"name\":\"web1\"}",
               Ask("{\"command\":\"failover\",\"guest\":\"web1\",\"cold\":true,\"force\":true}").c_str());
  STRCMP_EQUAL("cold web1 by force", target.asked.c_str());
  STRCMP_EQUAL("{\"ok\":false,\"error\":\"discard needs \\\"guest\\\", the name of a guest\"}",
               Ask("{\"command\":\"discard\"}").c_str());
}

TEST(HavendControlSocket, OnlySaysWhatADecisionWouldThrowAwayWhenAsked) {
  STRCMP_EQUAL("{\"ok\":true,\"what\":\"what is here\"}",
               Ask("{\"command\":\"discard\",\"guest\":\"web1\",\"describe\":true}").c_str());
  STRCMP_EQUAL("{\"ok\":true,\"what\":\"what a cold start loses\"}",
               Ask("{\"command\":\"failover\",\"guest\":\"web1\",\"cold\":true,\"describe\":true}").c_str());
  STRCMP_EQUAL("describe web1", target.asked.c_str());
}

TEST(HavendControlSocket, PromotesTheGuestThatIsNamed) {
  STRCMP_EQUAL("{\"ok\":true,\"failover_ms\":12}",
               Ask("{\"command\":\"failover\",\"guest\":\"web1\",\"force\":true}").c_str());
  STRCMP_EQUAL("web1", target.asked_guest.c_str());
  CHECK_TRUE(target.asked_force);
}

TEST(HavendControlSocket, DoesNotForceAFailoverUnlessTold) {
  Ask("{\"command\":\"failover\",\"guest\":\"web1\"}");
  CHECK_FALSE(target.asked_force);
  Ask("{\"command\":\"failover\",\"guest\":\"web1\",\"force\":\"yes\"}");
  CHECK_FALSE(target.asked_force);
}

TEST(HavendControlSocket, HasTheNamedGuestHandedOver) {
  STRCMP_EQUAL("{\"ok\":true,\"failover_ms\":3}", Ask("{\"command\":\"handover\",\"guest\":\"web1\"}").c_str());
  STRCMP_EQUAL("web1", target.handed_over.c_str());
  STRCMP_EQUAL("", target.asked_guest.c_str());
}

TEST(HavendControlSocket, PassesOnWhyAFailoverWasRefused) {
  STRCMP_EQUAL("{\"ok\":false,\"error\":\"there is no guest x\"}",
               Ask("{\"command\":\"failover\",\"guest\":\"x\"}").c_str());
}

TEST(HavendControlSocket, SaysWhatIsWrongWithARequest) {
  STRCMP_CONTAINS("\"error\":\"the request is not JSON", Ask("{").c_str());
  STRCMP_CONTAINS("\"error\":\"the request is not a JSON object", Ask("[1]").c_str());
  STRCMP_CONTAINS("\"error\":\"the request is not a JSON object", Ask("").c_str());
  STRCMP_CONTAINS("unknown command 'stop' (known: status, failover, handover, discard, adopt, reload)",
                  Ask("{\"command\":\"stop\"}").c_str());
  STRCMP_CONTAINS("unknown command ''", Ask("{\"command\":3}").c_str());
  STRCMP_CONTAINS("failover needs", Ask("{\"command\":\"failover\"}").c_str());
}

TEST_GROUP(HavendControlSocketOnDisk) {
  FakeTarget target;
  char folder[32] = "/tmp/haven-unit-XXXXXX";
  std::string path;
  void setup() override {
    CHECK(mkdtemp(folder) != nullptr);
    path = std::string(folder) + "/havend.sock";
  }
  void teardown() override {
    unlink(path.c_str());
    rmdir(folder);
  }
};

TEST(HavendControlSocketOnDisk, ServesSeveralRequestsOnOneConnectionToItsOwnerOnly) {
  auto server = ControlSocket::Open(path, target);
  CHECK_TRUE(server.ok());
  struct stat info;
  CHECK_EQUAL(0, stat(path.c_str(), &info));
  CHECK_EQUAL(0600u, info.st_mode & 0777);
  auto client = LineSocket::Connect(path);
  CHECK_TRUE(client.ok());
  for (int i = 0; i < 3; i++) {
    CHECK_TRUE(client.value().Write("{\"command\":\"status\"}").ok());
    auto answer = client.value().Read(milliseconds(5000));
    CHECK_TRUE(answer.ok());
    STRCMP_CONTAINS("{\"ok\":true,", answer.value().c_str());
  }
}

TEST(HavendControlSocketOnDisk, RefusesASecondDaemonButReplacesALeftOver) {
  {
    auto first = ControlSocket::Open(path, target);
    CHECK_TRUE(first.ok());
    auto second = ControlSocket::Open(path, target);
    CHECK_FALSE(second.ok());
    STRCMP_CONTAINS("another havend is running", second.status().message().c_str());
    // What a killed daemon leaves: the name, with nobody behind it.
    CHECK_EQUAL(0, link(path.c_str(), (path + ".kept").c_str()));
  }
  CHECK_EQUAL(0, rename((path + ".kept").c_str(), path.c_str()));
  CHECK_TRUE(ControlSocket::Open(path, target).ok());
}

TEST(HavendControlSocketOnDisk, EndsWhileAClientIsConnectedAndSilent) {
  auto server = ControlSocket::Open(path, target);
  CHECK_TRUE(server.ok());
  auto client = LineSocket::Connect(path);
  CHECK_TRUE(client.ok());
  CHECK_TRUE(client.value().Write("{\"command\":\"status\"}").ok());
  CHECK_TRUE(client.value().Read(milliseconds(5000)).ok());
  server.value().reset();
  CHECK_FALSE(client.value().Read(milliseconds(5000)).ok());
  CHECK_FALSE(client.value().timed_out());
}

TEST(HavendControlSocket, SaysWhatCameOfAReload) {
  STRCMP_EQUAL("{\"ok\":true,\"done\":[\"guest web2: added\"]}", Ask("{\"command\":\"reload\"}").c_str());
  target.file = Status(StatusCode::kInvalid, "h.conf: line 3: [havend] listen: must be HOST:PORT");
  STRCMP_EQUAL("{\"ok\":false,\"error\":\"h.conf: line 3: [havend] listen: must be HOST:PORT\"}",
               Ask("{\"command\":\"reload\"}").c_str());
}
