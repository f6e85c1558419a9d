/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_UNIT_XEN_SUPPORT_H
#define HAVEN_TESTS_UNIT_XEN_SUPPORT_H

#include <cstdio>
#include <cstdlib>
#include <string>

#include "core/bytes.h"
#include "xen/domain_state.h"

namespace haven::xen {

/// A small state with something in every section.
inline DomainState SampleState() {
  DomainState s;
  s.xen_major = 4;
  s.xen_minor = 17;
  s.device_model = {'Q', 'E', 'V', 'M', 1, 2, 3};
  s.hvm_context = {0xa0, 0xa1, 0xa2};
  s.hvm_params = {{1, 0xfeffc}, {17, 0xfefff}};
  s.tsc = {2, 2000000, 0x1122334455667788, 3};
  s.cpuid_policy.assign(kCpuidLeafBytes, 0xc1);
  s.msr_policy.assign(kMsrEntryBytes, 0xd2);
  s.populated = {{0, 2}, {5, 1}};
  s.config = R"({"c_info":{"uuid":"01234567-89ab-cdef-0123-456789abcdef"}})";
  return s;
}

inline std::string Hex(ByteSpan bytes) {
  std::string text;
  for (uint8_t byte : bytes) {
    char two[3];
    snprintf(two, sizeof(two), "%02x", byte);
    text += two;
  }
  return text;
}

/// A folder that is gone after the test.
class TestFolder {
 public:
  TestFolder() {
    char name[] = "/tmp/haven-xen-test-XXXXXX";
    path_ = mkdtemp(name);
  }
  ~TestFolder() {
    std::string command = "rm -rf " + path_;
    if (system(command.c_str()) != 0) fprintf(stderr, "cannot remove %s\n", path_.c_str());
  }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace haven::xen

#endif
