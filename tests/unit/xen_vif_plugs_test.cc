// SPDX-License-Identifier: GPL-2.0-or-later
#include "xen/vif_plugs.h"

#include <deque>
#include <map>
#include <set>

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::xen;

namespace {

/// Ifbs with plugs that count as the kernel's sch_plug does, and vifs.
class FakeTrafficControl : public TrafficControl {
 public:
  struct Ifb {
    bool up = false, plug = false, indefinite = false;
    std::deque<int> queue = {};
    size_t to_release = 0, last = 0, current = 0;
  };
  std::map<std::string, Ifb> ifbs;
  std::map<std::string, std::string> redirects;  ///< vif to ifb
  std::set<std::string> foreign;                 ///< vifs with somebody else's filter
  std::vector<int> out;                          ///< what has left
  std::string failing;                           ///< the ifb whose orders fail

  Status CreateIfb(const std::string& ifb) override {
    if (ifbs.count(ifb) != 0) return {StatusCode::kEnvironment, "it exists"};
    ifbs[ifb] = {};
    return Status::Ok();
  }
  Status SetUp(const std::string& device, bool up) override {
    ifbs.at(device).up = up;
    if (!up) ifbs.at(device).queue.clear();
    return Status::Ok();
  }
  Status DeleteIfb(const std::string& ifb) override {
    ifbs.erase(ifb);
    return Status::Ok();
  }
  Result<std::vector<std::string>> Ifbs() override {
    std::vector<std::string> names;
    for (auto& [name, ifb] : ifbs) names.push_back(name);
    return names;
  }
  Status AddPlug(const std::string& device, uint32_t) override {
    CHECK_FALSE(ifbs.at(device).up);  // or frames would get past it
    ifbs.at(device) = {.plug = true};
    return Status::Ok();
  }
  Status RemovePlug(const std::string& device) override {
    CHECK_FALSE(ifbs.at(device).up);
    ifbs.at(device).plug = false;
    return Status::Ok();
  }
  Status Order(const std::string& device, PlugOrder order) override {
    if (device == failing) return {StatusCode::kEnvironment, "no such order"};
    Ifb& i = ifbs.at(device);
    switch (order) {
      case PlugOrder::kBuffer:
        i.last = i.current;
        i.current = 0;
        i.indefinite = false;
        break;
      case PlugOrder::kReleaseOne:
        i.to_release += i.last;
        i.last = 0;
        break;
      case PlugOrder::kReleaseIndefinite:
        i.indefinite = true;
        i.to_release = i.last = i.current = 0;
        break;
    }
    Dequeue(i);
    return Status::Ok();
  }
  Status Redirect(const std::string& vif, const std::string& ifb) override {
    if (foreign.count(vif) != 0 || redirects.count(vif) != 0) return {StatusCode::kRefused, "somebody else's"};
    CHECK(ifbs.at(ifb).up);
    redirects[vif] = ifb;
    return Status::Ok();
  }
  Status RemoveRedirect(const std::string& vif) override {
    redirects.erase(vif);
    return Status::Ok();
  }

  void Send(const std::string& vif, int frame) {
    if (redirects.count(vif) == 0) {
      out.push_back(frame);
      return;
    }
    auto found = ifbs.find(redirects[vif]);
    if (found == ifbs.end() || !found->second.up) return;
    Ifb& i = found->second;
    i.queue.push_back(frame);
    if (!i.indefinite) i.current++;
    Dequeue(i);
  }

 private:
  void Dequeue(Ifb& i) {
    while (!i.queue.empty() && (!i.plug || i.indefinite || i.to_release > 0)) {
      out.push_back(i.queue.front());
      i.queue.pop_front();
      if (i.plug && !i.indefinite) i.to_release--;
    }
  }
};

}  // namespace

TEST_GROUP(VifPlugs) {
  FakeTrafficControl control;
  std::set<uint32_t> domains{0, 5};
  std::unique_ptr<VifPlugs> plugs;

  Status Create(const std::vector<Vif>& vifs = {{"vif5.0", 0}, {"dmz", 1}}) {
    auto created = VifPlugs::Create(control, 5, vifs, [this](uint32_t domid) { return domains.count(domid) != 0; });
    if (created.ok()) plugs = std::move(created.value());
    return created.status();
  }
  void Cut() { CHECK(plugs->Cut().ok()); }
  void CheckOut(const std::vector<int>& frames) { CHECK_TRUE(frames == control.out); }
};

TEST(VifPlugs, LetFramesPassUntilTheFirstCut) {
  CHECK(Create().ok());
  control.Send("vif5.0", 1);
  control.Send("dmz", 2);
  CheckOut({1, 2});
  CHECK_EQUAL(2, control.redirects.size());
}

TEST(VifPlugs, HoldTheFramesOfAnEpochUntilItIsCommitted) {
  CHECK(Create().ok());
  Cut();
  plugs->Release();
  control.Send("vif5.0", 1);
  Cut();
  control.Send("vif5.0", 2);
  CheckOut({});
  plugs->Release();
  CheckOut({1});
  Cut();
  CheckOut({1});
  plugs->Release();
  CheckOut({1, 2});
}

TEST(VifPlugs, ReleaseEverythingAtTheEndOfProtectionAndLeaveNothingBehind) {
  CHECK(Create().ok());
  Cut();
  control.Send("vif5.0", 1);
  control.Send("dmz", 2);
  CHECK(plugs->ReleaseAll().ok());
  control.Send("vif5.0", 3);
  CheckOut({1, 2, 3});
  plugs.reset();
  CHECK_TRUE(control.ifbs.empty());
  CHECK_TRUE(control.redirects.empty());
}

TEST(VifPlugs, StayAndHoldWhenTheirOwnerEndsWithoutRelease) {
  CHECK(Create().ok());
  Cut();
  control.Send("vif5.0", 1);
  plugs.reset();
  control.Send("vif5.0", 2);
  CheckOut({});
}

TEST(VifPlugs, OfAFormerOwnerAreReplacedByThoseOfTheNext) {
  CHECK(Create().ok());
  Cut();
  control.Send("dmz", 1);
  plugs.reset();
  CHECK(Create().ok());
  control.Send("dmz", 2);
  CheckOut({2});
}

TEST(VifPlugs, OfDomainsThatAreGoneAreRemovedAndThoseOfOthersKept) {
  domains.insert(7);
  for (const char* name : {"haven4.0", "haven7.0", "haven4.0x", "ifb0"}) CHECK(control.CreateIfb(name).ok());
  CHECK(Create({{"vif5.0", 0}}).ok());
  CHECK_EQUAL(0, control.ifbs.count("haven4.0"));
  for (const char* name : {"haven5.0", "haven7.0", "haven4.0x", "ifb0"}) CHECK_EQUAL(1, control.ifbs.count(name));
}

TEST(VifPlugs, RefuseAVifWithAFilterOfSomebodyElseAndTakeTheOthersAway) {
  control.foreign.insert("dmz");
  Status status = Create();
  CHECK_FALSE(status.ok());
  STRCMP_EQUAL("cannot hold the output of dmz: somebody else's", status.message().c_str());
  CHECK_TRUE(control.ifbs.empty());
  CHECK_TRUE(control.redirects.empty());
}

TEST(VifPlugs, DropWhatIsHeldAndGoOnHolding) {
  CHECK(Create().ok());
  Cut();
  control.Send("vif5.0", 1);
  Cut();
  control.Send("vif5.0", 2);
  CHECK(plugs->Drop().ok());
  control.Send("vif5.0", 3);
  CheckOut({});
  Cut();
  control.Send("vif5.0", 4);
  plugs->Release();
  CheckOut({3});
}

TEST(VifPlugs, ThatCouldNotReleaseFailTheNextCut) {
  CHECK(Create().ok());
  Cut();
  control.failing = "haven5.1";
  plugs->Release();
  control.failing.clear();
  CHECK_FALSE(plugs->Cut().ok());
  CHECK(plugs->ReleaseAll().ok());
  Cut();
}

TEST(VifPlugs, KnowWhichDevicesTheyCover) {
  CHECK(Create().ok());
  CHECK_TRUE(plugs->Covers("dmz"));
  CHECK_FALSE(plugs->Covers("vif5.1"));
}

TEST(VifPlugs, OfADomainWithoutVifsTouchNothing) {
  CHECK(control.CreateIfb("haven4.0").ok());
  CHECK(Create({}).ok());
  CHECK(plugs->Cut().ok());
  CHECK_EQUAL(1, control.ifbs.size());
}
