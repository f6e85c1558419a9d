// SPDX-License-Identifier: GPL-2.0-or-later
#include "xen/xen_store.h"

#include <cerrno>
#include <cstdlib>

extern "C" {
#include <xenstore.h>
}

namespace haven::xen {
namespace {

Status Failed(const std::string& what) { return Status::FromErrno(errno, what); }

class LibxsXenStore : public XenStore {
 public:
  explicit LibxsXenStore(xs_handle* handle) : handle_(handle) {}
  ~LibxsXenStore() override { xs_close(handle_); }

  Result<std::optional<std::string>> Read(const std::string& path) override;
  Result<std::vector<std::string>> List(const std::string& path) override;
  Status Watch(const std::string& path) override;
  int fd() const override { return xs_fileno(handle_); }
  bool TakeChanges() override;

 private:
  xs_handle* const handle_;
};

Result<std::optional<std::string>> LibxsXenStore::Read(const std::string& path) {
  unsigned int bytes = 0;
  char* text = static_cast<char*>(xs_read(handle_, XBT_NULL, path.c_str(), &bytes));
  if (text == nullptr && errno != ENOENT) return Failed("cannot read " + path + " in xenstore");
  std::optional<std::string> value;
  if (text != nullptr) value.emplace(text, bytes);
  free(text);
  return value;
}

Result<std::vector<std::string>> LibxsXenStore::List(const std::string& path) {
  unsigned int count = 0;
  char** names = xs_directory(handle_, XBT_NULL, path.c_str(), &count);
  if (names == nullptr && errno != ENOENT) return Failed("cannot list " + path + " in xenstore");
  std::vector<std::string> list;
  if (names != nullptr) list.assign(names, names + count);
  free(names);
  return list;
}

Status LibxsXenStore::Watch(const std::string& path) {
  return xs_watch(handle_, path.c_str(), "haven") ? Status::Ok() : Failed("cannot watch " + path + " in xenstore");
}

bool LibxsXenStore::TakeChanges() {
  bool any = false;
  while (char** change = xs_check_watch(handle_)) {
    free(change);
    any = true;
  }
  return any;
}

}  // namespace

Result<std::unique_ptr<XenStore>> OpenXenStore() {
  xs_handle* handle = xs_open(0);
  if (handle == nullptr) return Failed("cannot talk to xenstore");
  return std::unique_ptr<XenStore>(std::make_unique<LibxsXenStore>(handle));
}

}  // namespace haven::xen
