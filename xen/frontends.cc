// SPDX-License-Identifier: GPL-2.0-or-later
#include "xen/frontends.h"

#include <cinttypes>
#include <cstdio>

namespace haven::xen {
namespace {

/// XenbusStateConnected
constexpr char kConnected[] = "4";
/// Below a domain's `device`, and none: its event channel.
constexpr char kSuspend[] = "suspend";

/// Of "/local/domain/N/backend/TYPE/DOMID/NUMBER".
void Parse(const std::string& backend, Frontend& frontend) {
  uint32_t domid = 0;
  char type[33] = "";
  if (sscanf(backend.c_str(), "/local/domain/%" SCNu32 "/backend/%32[^/]/", &domid, type) != 2) return;
  frontend.served_by = domid;
  frontend.served_as = type;
}

}  // namespace

Frontends::Frontends(XenStore& store, uint32_t domid)
    : store_(store),
      domid_(domid),
      guests_("/local/domain/" + std::to_string(domid) + "/device"),
      libxls_("/libxl/" + std::to_string(domid) + "/device") {}

Status Frontends::AddKeys(const std::string& directory, std::set<Key>& keys) {
  auto types = store_.List(directory);
  if (!types.ok()) return types.status();
  for (const std::string& type : types.value()) {
    if (type == kSuspend) continue;
    auto numbers = store_.List(directory + "/" + type);
    if (!numbers.ok()) return numbers.status();
    for (const std::string& number : numbers.value()) keys.insert({type, number});
  }
  return Status::Ok();
}

Result<std::string> Frontends::BackendOf(const Key& key, bool& there) {
  const std::string device = "/" + key.type + "/" + key.number;
  for (const std::string& directory : {libxls_, guests_}) {
    auto backend = store_.Read(directory + device + "/backend");
    if (!backend.ok()) return backend.status();
    if (backend.value()) {
      there = true;
      return *backend.value();
    }
  }
  // What only libxl has is emulated. What only the guest has is nobody's; or it is just being detached.
  auto node = store_.Read(guests_ + device);
  if (!node.ok()) return node.status();
  there = node.value().has_value();
  return std::string();
}

Result<bool> Frontends::IsConnected(const std::string& device) {
  auto state = store_.Read(device + "/state");
  if (!state.ok()) return state.status();
  return state.value() == kConnected;
}

Result<Frontend> Frontends::Look(const Key& key, bool& there) {
  Frontend frontend;
  frontend.type = key.type;
  frontend.number = key.number;
  auto backend = BackendOf(key, there);
  if (!backend.ok()) return backend.status();
  Parse(backend.value(), frontend);
  // The guest's end says so first.
  for (const std::string& device : {guests_ + "/" + key.type + "/" + key.number, backend.value()}) {
    if (device.empty() || frontend.connected) continue;
    auto connected = IsConnected(device);
    if (!connected.ok()) return connected.status();
    frontend.connected = connected.value();
  }
  if (frontend.type != "vbd" || backend.value().empty()) return frontend;
  auto name = store_.Read(backend.value() + "/dev");
  if (!name.ok()) return name.status();
  frontend.name = name.value().value_or("");
  return frontend;
}

Result<std::vector<Frontend>> Frontends::Find() {
  std::set<Key> keys;
  HAVEN_RETURN_IF_ERROR(AddKeys(guests_, keys));
  HAVEN_RETURN_IF_ERROR(AddKeys(libxls_, keys));
  std::vector<Frontend> found;
  for (const Key& key : keys) {
    bool there = false;
    auto frontend = Look(key, there);
    if (!frontend.ok()) return frontend.status();
    if (there) found.push_back(std::move(frontend.value()));
  }
  return found;
}

Status Frontends::CheckAll(const std::vector<Frontend>& found) const {
  for (const Frontend& frontend : found) {
    const Coverage coverage = CoverageOf(frontend);
    if (coverage.kind != Coverage::Kind::kRefused) continue;
    return {StatusCode::kRefused, Named(frontend) + " " + coverage.why + "; " + coverage.instead};
  }
  return Status::Ok();
}

Status Frontends::Check() {
  auto found = Find();
  return found.ok() ? CheckAll(found.value()) : found.status();
}

Status Frontends::Begin() {
  HAVEN_RETURN_IF_ERROR(store_.Watch(guests_));
  HAVEN_RETURN_IF_ERROR(store_.Watch(libxls_));
  auto found = Find();
  if (!found.ok()) return found.status();
  HAVEN_RETURN_IF_ERROR(CheckAll(found.value()));
  Know(found.value());
  return Status::Ok();
}

void Frontends::Know(const std::vector<Frontend>& found) {
  known_.clear();
  for (const Frontend& frontend : found) known_.insert({frontend.type, frontend.number});
}

Status Frontends::Covered() {
  if (!store_.TakeChanges()) return Status::Ok();
  auto found = Find();
  if (!found.ok()) return found.status();
  for (const Frontend& frontend : found.value()) {
    if (known_.count({frontend.type, frontend.number}) != 0) continue;
    const Coverage coverage = CoverageOf(frontend);
    const bool refused = coverage.kind == Coverage::Kind::kRefused;
    return {StatusCode::kRefused, Named(frontend) + " was attached after it was protected; " +
                                      (refused ? "detach it: it " + coverage.why : "protect it again")};
  }
  Know(found.value());
  return CheckAll(found.value());
}

std::string Frontends::Named(const Frontend& frontend) const {
  return "device " + frontend.Title() + " of domain " + std::to_string(domid_);
}

}  // namespace haven::xen
