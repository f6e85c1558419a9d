// SPDX-License-Identifier: GPL-2.0-or-later
// The start gate, see haven.h.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <string>

#include "capi/haven.h"
#include "capi/state_dir.h"
#include "session/start_gate.h"

namespace session = haven::session;

struct haven_gate : private session::StartGate::Listener {
  explicit haven_gate(const haven_gate_options& options)
      : alive(std::make_shared<bool>(true)),
        changed(options.changed),
        run_on_main(options.run_on_main),
        opaque(options.opaque) {
    session::GateOptions to;
    to.root = haven::StateDir(options.state_dir);
    if (options.guest != nullptr) to.guests.push_back(options.guest);
    for (size_t i = 0; i < options.disk_count; i++) {
      if (options.disk_paths[i] != nullptr) to.disks.push_back(options.disk_paths[i]);
    }
    gate = session::StartGate::Close(std::move(to), *this);
  }

  void GateChanged(bool open, const std::string& message) override {
    run_on_main(opaque, Tell, new Change{alive, this, open, message});
  }

  std::shared_ptr<bool> alive;  ///< main thread: false once this is freed
  void (*const changed)(void*, int, const char*);
  void (*const run_on_main)(void*, void (*)(void*), void*);
  void* const opaque;
  std::unique_ptr<session::StartGate> gate;

 private:
  struct Change {
    std::shared_ptr<bool> alive;
    haven_gate* gate;
    bool open;
    std::string message;
  };
  static void Tell(void* arg) {
    std::unique_ptr<Change> change(static_cast<Change*>(arg));
    if (*change->alive) change->gate->changed(change->gate->opaque, change->open, change->message.c_str());
  }
};

namespace {

int ToC(const haven::Status& status, haven_error* error) {
  if (status.ok()) return 0;
  snprintf(error->message, sizeof(error->message), "%s", status.message().c_str());
  return -1;
}

}  // namespace

haven_gate* haven_gate_close(const haven_gate_options* options) try {
  auto gate = std::make_unique<haven_gate>(*options);
  return gate->gate ? gate.release() : nullptr;
} catch (const std::exception& e) {
  fprintf(stderr, "haven: the start gate cannot be made: %s\n", e.what());
  return nullptr;
}

void haven_gate_free(haven_gate* g) {
  *g->alive = false;
  delete g;
}

int haven_gate_adopt(haven_gate* g, haven_error* error) { return ToC(g->gate->Adopt(), error); }

int haven_gate_discard(haven_gate* g, haven_error* error) { return ToC(g->gate->Discard(), error); }
