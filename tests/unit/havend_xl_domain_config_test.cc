// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/xl/domain_config.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::havend;

namespace {

const char kOwn[] = R"({
  "c_info": {"type": "hvm", "name": "g1", "uuid": "00000000-0000-0000-0000-000000000000"},
  "b_info": {"max_vcpus": 2, "max_memkb": 262144, "device_model": "/opt/here/qemu-dm"},
  "disks": [{"pdev_path": "/replicas/g1", "vdev": "hda", "script": "block"}],
  "nics": [{"devid": 0, "bridge": "br-here", "script": "/etc/here"}]})";

const char kPrimary[] = R"({
  "c_info": {"type": "hvm", "name": "evil", "uuid": "01234567-89ab-cdef-0123-456789abcdef"},
  "b_info": {"max_vcpus": 2, "max_memkb": 262144, "device_model": "/tmp/evil", "bootloader": "/tmp/evil"},
  "disks": [{"pdev_path": "/etc/shadow", "vdev": "hda", "script": "evil"}],
  "nics": [{"devid": 0, "mac": "00:16:3e:00:00:01", "bridge": "evil", "script": "/tmp/evil"}],
  "pcidevs": [{"func": 0, "dev": 1}]})";

std::string Replace(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

std::string WhyNot(const std::string& primary) { return MergeDomainConfig(kOwn, primary).status().message(); }

}  // namespace

TEST_GROUP(XenDomainConfig){};

TEST(XenDomainConfig, TakesOnlyTheIdentityFromThePrimary) {
  auto merged = MergeDomainConfig(kOwn, kPrimary);
  CHECK_TRUE(merged.ok());
  const char* text = merged.value().c_str();
  STRCMP_CONTAINS("01234567-89ab-cdef-0123-456789abcdef", text);
  STRCMP_CONTAINS("00:16:3e:00:00:01", text);
  STRCMP_CONTAINS("/replicas/g1", text);
  STRCMP_CONTAINS("/opt/here/qemu-dm", text);
  STRCMP_CONTAINS("br-here", text);
  for (const char* theirs : {"evil", "shadow", "bootloader", "pcidevs"}) {
    CHECK_TRUE(merged.value().find(theirs) == std::string::npos);
  }
}

TEST(XenDomainConfig, RefusesAnotherMachineAndNamesTheDifference) {
  STRCMP_CONTAINS("max_vcpus is 3 on the primary and 2",
                  WhyNot(Replace(kPrimary, "\"max_vcpus\": 2", "\"max_vcpus\": 3")).c_str());
  STRCMP_CONTAINS("max_memkb", WhyNot(Replace(kPrimary, "262144", "262145")).c_str());
  STRCMP_CONTAINS("disk 0 is 'xvda'", WhyNot(Replace(kPrimary, "hda", "xvda")).c_str());
  STRCMP_CONTAINS("number of disks is 0", WhyNot(Replace(kPrimary, "\"disks\"", "\"x\"")).c_str());
  STRCMP_CONTAINS("number of NICs is 0", WhyNot(Replace(kPrimary, "\"nics\"", "\"x\"")).c_str());
}

TEST(XenDomainConfig, TakesPvDisksAndNicsWhenBothHostsHaveThem) {
  auto pv = [](const char* config) {
    return Replace(Replace(config, "hda", "xvda"), "\"devid\": 0,", "\"devid\": 0, \"nictype\": \"vif\",");
  };
  CHECK_TRUE(MergeDomainConfig(pv(kOwn), pv(kPrimary)).ok());
  STRCMP_CONTAINS("type of NIC 0 is vif_ioemu on the primary and vif",
                  MergeDomainConfig(pv(kOwn), Replace(kPrimary, "hda", "xvda")).status().message().c_str());
}

TEST(XenDomainConfig, RefusesHostileText) {
  for (const char* bad : {"", "[]", "{", "null", "{}", R"({"c_info": 1})", R"({"c_info": {"uuid": 5}})",
                          R"({"c_info": {"uuid": "01234567-89ab-cdef-0123-456789abcdeg"}})"}) {
    auto merged = MergeDomainConfig(kOwn, bad);
    CHECK_FALSE(merged.ok());
    CHECK_TRUE(merged.status().code() == StatusCode::kProtocol);
  }
  STRCMP_CONTAINS("MAC", WhyNot(Replace(kPrimary, "00:16:3e:00:00:01", "00:16:3e:00:00:01,script=x")).c_str());
  STRCMP_CONTAINS(
      "'' ",
      WhyNot(Replace(kPrimary, "[{\"pdev_path\": \"/etc/shadow\", \"vdev\": \"hda\", \"script\": \"evil\"}]", "[1]"))
          .c_str());
}

TEST(XenDomainConfig, FindsNameAndUuid) {
  STRCMP_EQUAL("g1", DomainName(kOwn).value().c_str());
  STRCMP_EQUAL("00000000-0000-0000-0000-000000000000", DomainUuid(kOwn).value().c_str());
  CHECK_FALSE(DomainName("{}").ok());
  CHECK_FALSE(DomainUuid("[]").ok());
}
