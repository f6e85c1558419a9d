// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/xl/trial_config.h"

#include "havend/xl/domain_config.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::havend;

namespace {

const char kConfig[] = R"({
  "c_info": {"type": "hvm", "name": "g1", "uuid": "01234567-89ab-cdef-0123-456789abcdef"},
  "b_info": {"max_vcpus": 2, "extra": ["-device", "loader,file=/k", "-device", "haven-protect,host=other", "-S"]},
  "disks": [{"pdev_path": "/dev/vg/g1", "vdev": "hda", "format": "qcow2", "backend": "phy", "script": "block"},
            {"pdev_path": "/iso", "vdev": "hdc", "is_cdrom": true}],
  "nics": [{"devid": 0, "bridge": "xenbr0", "script": "vif-bridge"}, {"devid": 1}]})";

std::string Replace(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

Result<std::string> Made(const std::string& config) {
  return MakeTrialConfig(config, [](const std::string& disk) { return "/stand-in-for" + disk; });
}

bool Has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_GROUP(XenTrialConfig){};

TEST(XenTrialConfig, UsesNothingThatTheGuestWouldUse) {
  const std::string made = Made(kConfig).value();
  STRCMP_CONTAINS(R"("pdev_path":"/stand-in-for/dev/vg/g1","vdev":"hda","format":"raw","backend":"qdisk")",
                  made.c_str());
  STRCMP_CONTAINS(R"("script":"/bin/true")", made.c_str());
  STRCMP_CONTAINS(R"({"devid":1,"script":"/bin/true"})", made.c_str());
  CHECK_FALSE(Has(made, "vif-bridge"));
  CHECK_FALSE(Has(made, "\"block\""));
}

TEST(XenTrialConfig, LeavesTheMachineAsItIs) {
  const std::string made = Made(kConfig).value();
  STRCMP_CONTAINS(R"("max_vcpus":2)", made.c_str());
  STRCMP_CONTAINS(R"({"pdev_path":"/iso","vdev":"hdc","is_cdrom":true})", made.c_str());
  STRCMP_CONTAINS(R"("name":"g1")", made.c_str());
}

TEST(XenTrialConfig, HasAUuidOfItsOwn) {
  const std::string first = DomainUuid(Made(kConfig).value()).value();
  const std::string second = DomainUuid(Made(kConfig).value()).value();
  CHECK_EQUAL(36, first.size());
  for (size_t at : {8, 13, 18, 23}) CHECK_EQUAL('-', first[at]);
  CHECK_TRUE(first != second);
  CHECK_TRUE(first != "01234567-89ab-cdef-0123-456789abcdef");
}

TEST(XenTrialConfig, DoesNotHaveTheTrialProtected) {
  STRCMP_CONTAINS(R"("extra":["-device","loader,file=/k","-S"])", Made(kConfig).value().c_str());
}

TEST(XenTrialConfig, RefusesDisksAndNicsOfWhichXlKnowsNothing) {
  for (const char* word : {"-drive", "--drive", "-netdev", "-blockdev", "-nic", "-net", "-fda"}) {
    const auto made = Made(Replace(kConfig, "-S", word));
    CHECK_TRUE(made.status().code() == StatusCode::kRefused);
    STRCMP_CONTAINS((std::string("the disk or NIC of ") + word + " in device_model_args").c_str(),
                    made.status().message().c_str());
  }
}

TEST(XenTrialConfig, SaysWhyAStandInCouldNotBeMade) {
  const auto made = MakeTrialConfig(
      kConfig, [](const std::string&) -> Result<std::string> { return Status(StatusCode::kEnvironment, "no room"); });
  STRCMP_EQUAL("no room", made.status().message().c_str());
}
