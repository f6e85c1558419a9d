// SPDX-License-Identifier: GPL-2.0-or-later
#include "xen/frontends.h"

#include <map>

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::xen;

namespace {

using Kind = Coverage::Kind;

/// Nodes by their path; those above them exist, too.
class FakeXenStore : public XenStore {
 public:
  std::map<std::string, std::string> nodes;
  std::set<std::string> watched;
  bool changed = false;
  std::string failing;  ///< the path that cannot be read
  int reads = 0;

  Result<std::optional<std::string>> Read(const std::string& path) override {
    reads++;
    if (path == failing) return Status(StatusCode::kEnvironment, "cannot read " + path);
    if (auto found = nodes.find(path); found != nodes.end()) return std::optional(found->second);
    auto below = nodes.lower_bound(path + "/");
    const bool exists = below != nodes.end() && below->first.starts_with(path + "/");
    return exists ? std::optional<std::string>("") : std::nullopt;
  }
  Result<std::vector<std::string>> List(const std::string& path) override {
    reads++;
    std::set<std::string> names;
    for (const auto& [node, value] : nodes) {
      if (!node.starts_with(path + "/")) continue;
      const std::string rest = node.substr(path.size() + 1);
      names.insert(rest.substr(0, rest.find('/')));
    }
    return std::vector<std::string>(names.begin(), names.end());
  }
  Status Watch(const std::string& path) override {
    watched.insert(path);
    changed = true;
    return Status::Ok();
  }
  int fd() const override { return -1; }
  bool TakeChanges() override { return std::exchange(changed, false); }

  void Set(const std::string& path, const std::string& value) {
    nodes[path] = value;
    for (const std::string& top : watched) changed = changed || path.starts_with(top + "/");
  }
  void Remove(const std::string& path) {
    std::erase_if(nodes, [&](const auto& node) { return node.first.starts_with(path); });
    for (const std::string& top : watched) changed = changed || path.starts_with(top);
  }
};

}  // namespace

TEST_GROUP(FrontendRules){
    static Frontend Make(const std::string& type, const std::string& served_as, bool connected = true){Frontend f;
f.type = type;
f.number = "0";
f.served_as = served_as;
f.served_by = 0;
f.connected = connected;
return f;
}
static Kind KindOf(const std::string& type, const std::string& served_as, bool connected = true) {
  return CoverageOf(Make(type, served_as, connected)).kind;
}
}
;

TEST(FrontendRules, CoverWhatTheDeviceModelAndNetbackServe) {
  CHECK(KindOf("vbd", "qdisk") == Kind::kReplicated);
  CHECK(KindOf("vif", "vif") == Kind::kHeld);
  CHECK(KindOf("console", "console") == Kind::kNotHeld);
  CHECK(KindOf("vkbd", "vkbd") == Kind::kSaved);
}

TEST(FrontendRules, LetADeviceBeThatTheGuestHasAsAnEmulatedOne) {
  CHECK(KindOf("vbd", "qdisk", false) == Kind::kSaved);
  CHECK(KindOf("vbd", "vbd", false) == Kind::kSaved);
  CHECK(KindOf("vif", "vif", false) == Kind::kSaved);
}

TEST(FrontendRules, RefuseWhatBlkbackServesWithTheLineThatMendsIt) {
  const Coverage c = CoverageOf(Make("vbd", "vbd"));
  CHECK(c.kind == Kind::kRefused);
  STRCMP_EQUAL("is served by the kernel's blkback", c.why.c_str());
  STRCMP_EQUAL("write backendtype=qdisk in its disk=[...] line and start the guest again", c.instead.c_str());
}

TEST(FrontendRules, RefuseAllThatIsNotKnownToBeCoveredUsedOrNot) {
  const std::pair<const char*, const char*> kLines[] = {
      {"pci", "pci"},   {"vusb", "usbctrl"},    {"vscsi", "vscsi"},   {"9pfs", "p9"},
      {"vtpm", "vtpm"}, {"vinput", "vkb"},      {"vfb", "vfb"},       {"vdispl", "vdispl"},
      {"vsnd", "vsnd"}, {"pvcalls", "pvcalls"}, {"virtio", "virtio"}, {"virtio_disk", "disk"}};
  for (const auto& [type, line] : kLines) {
    for (bool connected : {false, true}) {
      const Coverage c = CoverageOf(Make(type, type, connected));
      CHECK_TEXT(c.kind == Kind::kRefused, type);
      STRCMP_EQUAL(("remove its " + std::string(line) + "=[...] line and start the guest again").c_str(),
                   c.instead.c_str());
    }
  }
  for (bool connected : {false, true}) {
    const Coverage c = CoverageOf(Make("vteleport", "vteleport", connected));
    CHECK(c.kind == Kind::kRefused);
    STRCMP_EQUAL("has not been tried with checkpoints", c.why.c_str());
  }
}

TEST(FrontendRules, RefuseAKnownDeviceThatAnUnknownProgramServes) {
  for (bool connected : {false, true}) {
    CHECK(KindOf("vbd", "tap", connected) == Kind::kRefused);
    CHECK(KindOf("vif", "vif2", connected) == Kind::kRefused);
    CHECK(KindOf("vkbd", "linux", connected) == Kind::kRefused);
    CHECK(KindOf("vbd", "", connected) == Kind::kRefused);
  }
}

TEST(FrontendRules, RefuseConsolesBeyondTheFirst) {
  Frontend f = Make("console", "console");
  f.number = "1";
  const Coverage c = CoverageOf(f);
  CHECK(c.kind == Kind::kRefused);
  STRCMP_CONTAINS("channel=[...]", c.instead.c_str());
}

TEST(FrontendRules, RefuseWhatADriverDomainServes) {
  for (bool connected : {false, true}) {
    for (const auto& [type, served_as] :
         {std::pair("vbd", "qdisk"), std::pair("vbd", "vbd"), std::pair("vif", "vif")}) {
      Frontend f = Make(type, served_as, connected);
      f.served_by = 3;
      const Coverage c = CoverageOf(f);
      CHECK(c.kind == Kind::kRefused);
      STRCMP_EQUAL("is served by domain 3, past the device model", c.why.c_str());
      STRCMP_CONTAINS(
          type[1] == 'b' ? "take backend= out of its disk=[...] line" : "take backend= out of its vif=[...] line",
          c.instead.c_str());
    }
  }
}

TEST_GROUP(Frontends) {
  FakeXenStore store;
  Frontends frontends{store, 5};

  /// As libxl does it.
  void Attach(const std::string& type, const std::string& number, const std::string& served_as,
              const std::string& domain = "0", bool connected = true) {
    const std::string device = "/" + type + "/" + number;
    const std::string backend = "/local/domain/" + domain + "/backend/" + served_as + "/5/" + number;
    store.Set(backend + "/state", connected ? "4" : "2");
    store.Set("/libxl/5/device" + device + "/backend", backend);
    store.Set("/local/domain/5/device" + device + "/backend", backend);
    store.Set("/local/domain/5/device" + device + "/state", connected ? "4" : "1");
  }
  void Detach(const std::string& device) {
    store.Remove("/libxl/5/device/" + device);
    store.Remove("/local/domain/5/device/" + device);
  }
  void AttachUsual() {
    Attach("vbd", "51712", "qdisk");
    store.Set("/local/domain/0/backend/qdisk/5/51712/dev", "xvda");
    Attach("vif", "0", "vif");
    Attach("vkbd", "0", "vkbd", "0", false);
    store.Set("/libxl/5/device/console/0/backend", "/local/domain/0/backend/console/5/0");
    store.Set("/local/domain/5/device/suspend/event-channel", "");
  }
  void CheckSays(const std::string& wanted, const Status& status) {
    STRCMP_EQUAL(wanted.c_str(), status.message().c_str());
    CHECK(status.code() == StatusCode::kRefused);
  }
};

TEST(Frontends, OfAnOrdinaryGuestAreCovered) {
  AttachUsual();
  CHECK(frontends.Check().ok());
  auto found = frontends.Find();
  std::string titles;
  for (const Frontend& frontend : found.value()) titles += frontend.Title() + " ";
  STRCMP_EQUAL("console/0 vbd/51712 (xvda) vif/0 vkbd/0 ", titles.c_str());
}

TEST(Frontends, AreNamedWithTheReasonWhenOneIsNotCovered) {
  AttachUsual();
  Attach("9pfs", "0", "9pfs", "0", false);
  CheckSays(
      "device 9pfs/0 of domain 5 shares a folder of this host, which is not replicated; remove its p9=[...] line and "
      "start the guest again",
      frontends.Check());
}

TEST(Frontends, AreThoseOfDriverDomainsToo) {
  AttachUsual();
  Attach("vbd", "51728", "vbd", "3", false);
  STRCMP_CONTAINS("device vbd/51728 of domain 5 is served by domain 3", frontends.Check().message().c_str());
}

TEST(Frontends, AreServedByWhomLibxlSaysWhateverTheGuestWrites) {
  Attach("vbd", "51712", "vbd");
  store.Set("/local/domain/5/device/vbd/51712/backend", "/local/domain/0/backend/qdisk/5/51712");
  STRCMP_CONTAINS("blkback", frontends.Check().message().c_str());
}

TEST(Frontends, ThatLibxlDoesNotKnowCountToo) {
  store.Set("/local/domain/5/device/vscsi/0/backend", "/local/domain/0/backend/vscsi/5/0");
  STRCMP_CONTAINS("PV SCSI", frontends.Check().message().c_str());
  store.nodes.clear();
  store.Set("/local/domain/5/device/vbd/0/state", "1");
  STRCMP_CONTAINS("served by a program that HAVEN does not know", frontends.Check().message().c_str());
}

TEST(Frontends, OfWhichOnlyLibxlKnowsAreEmulatedDevices) {
  store.Set("/libxl/5/device/vusb/0/type", "devicemodel");
  CHECK(frontends.Check().ok());
  CHECK_EQUAL(0, frontends.Find().value().size());
}

TEST(Frontends, AreConnectedWhenEitherEndSaysSo) {
  for (const char* end : {"/local/domain/5/device/vbd/51712/state", "/local/domain/0/backend/vbd/5/51712/state"}) {
    Attach("vbd", "51712", "vbd", "0", false);
    CHECK(frontends.Check().ok());
    store.Set(end, "4");
    CHECK_FALSE(frontends.Check().ok());
  }
}

TEST(Frontends, ThatAreCoveredAreNotReadAgainUntilXenstoreTellsOfAChange) {
  AttachUsual();
  CHECK(frontends.Begin().ok());
  CHECK(frontends.Covered().ok());  // the watches themselves
  const int before = store.reads;
  CHECK(frontends.Covered().ok());
  CHECK_EQUAL(before, store.reads);
}

TEST(Frontends, ThatAreAttachedLaterEndTheCoverage) {
  AttachUsual();
  CHECK(frontends.Begin().ok());
  Attach("vif", "1", "vif", "0", false);
  CheckSays("device vif/1 of domain 5 was attached after it was protected; protect it again", frontends.Covered());
}

TEST(Frontends, ThatAreAttachedLaterAndRefusedAreToBeDetached) {
  AttachUsual();
  CHECK(frontends.Begin().ok());
  Attach("9pfs", "0", "9pfs", "0", false);
  CheckSays(
      "device 9pfs/0 of domain 5 was attached after it was protected; detach it: it shares a folder of this host, "
      "which is not replicated",
      frontends.Covered());
}

TEST(Frontends, ThatTheGuestBeginsToUseAreLookedAtAgain) {
  AttachUsual();
  Attach("vbd", "51728", "vbd", "0", false);
  CHECK(frontends.Begin().ok());
  CHECK(frontends.Covered().ok());
  store.Set("/local/domain/5/device/vbd/51728/state", "4");
  STRCMP_CONTAINS("device vbd/51728 of domain 5 is served by the kernel's blkback",
                  frontends.Covered().message().c_str());
}

TEST(Frontends, ThatAreDetachedMayGoButNotComeBackUnseen) {
  AttachUsual();
  CHECK(frontends.Begin().ok());
  Detach("vif/0");
  CHECK(frontends.Covered().ok());
  Attach("vif", "0", "vif");
  STRCMP_CONTAINS("device vif/0 of domain 5 was attached", frontends.Covered().message().c_str());
}

TEST(Frontends, DoNotBeginWithOneThatIsRefused) {
  Attach("pci", "0", "pci");
  STRCMP_CONTAINS("device pci/0 of domain 5 is a passed-through device", frontends.Begin().message().c_str());
}

TEST(Frontends, ThatCannotBeReadAreNotCovered) {
  AttachUsual();
  store.failing = "/local/domain/0/backend/qdisk/5/51712/dev";
  CHECK(frontends.Check().code() == StatusCode::kEnvironment);
  CHECK(frontends.Begin().code() == StatusCode::kEnvironment);
}
