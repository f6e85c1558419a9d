// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/guest_query.h"

#include <CppUTest/TestHarness.h>

using haven::cli::FlattenPrimaryStatus;
using haven::cli::MergeGuests;
using haven::qmp::Json;

namespace {

Json Guest(const char* name, const char* role, const char* state) {
  return Json::Object().Set("name", name).Set("role", role).Set("state", state);
}

}  // namespace

TEST_GROUP(CliGuestQuery){};

TEST(CliGuestQuery, FlattensTheAnswerOfQueryHaven) {
  auto answer = Json::Parse(
      "{\"state\":\"protected\",\"epoch\":9,\"memory-wire-bytes\":77,"
      "\"p50-us\":{\"pause\":3,\"stop\":1},\"p99-us\":{\"pause\":8},\"pause-max-us\":9}");
  CHECK_TRUE(answer.ok());
  STRCMP_EQUAL(
      "{\"name\":\"web1\",\"role\":\"primary\",\"message\":\"\",\"state\":\"protected\",\"epoch\":9,"
      "\"memory_wire_bytes\":77,\"pause_p50_us\":3,\"stop_p50_us\":1,\"pause_p99_us\":8,"
      "\"pause_max_us\":9}",
      FlattenPrimaryStatus("web1", answer.value()).ToString().c_str());
}

TEST(CliGuestQuery, DoesNotListADeviceModelThatOnlyWaitsASecondTime) {
  auto guests = MergeGuests({Guest("web1", "primary", "stopped"), Guest("db", "primary", "stopped")},
                            {Guest("web1", "backup", "protecting")});
  CHECK_EQUAL(2u, guests.size());
  STRCMP_EQUAL("db", guests[0]["name"].String().c_str());
  STRCMP_EQUAL("backup", guests[1]["role"].String().c_str());
}

TEST(CliGuestQuery, ShowsWhatAPromotedGuestDoesNow) {
  const Json model = Guest("web1", "primary", "stopped").Set("run_state", "running");
  const auto backup = [](const char* state) { return Guest("web1", "backup", state).Set("run_state", "io-error"); };
  auto guests = MergeGuests({model}, {backup("promoted")});
  CHECK_EQUAL(1u, guests.size());
  STRCMP_EQUAL("running", guests[0]["run_state"].String().c_str());
  STRCMP_EQUAL("io-error", MergeGuests({model}, {backup("protecting")})[0]["run_state"].String().c_str());
}

TEST(CliGuestQuery, ListsAPromotedGuestThatIsProtectedAgainInBothRoles) {
  auto guests = MergeGuests({Guest("web1", "primary", "protected")}, {Guest("web1", "backup", "promoted")});
  CHECK_EQUAL(2u, guests.size());
  STRCMP_EQUAL("primary", guests[0]["role"].String().c_str());
}
