// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/sim/checker.h"

namespace haven::sim {

void Checker::Left(const std::string& copy, const Reply& reply, Leave why) {
  if (forgiven()) {
    acknowledged_.try_emplace(reply.number, Known{reply.chain, why, copy});
    return;
  }
  // What the backup has committed may leave at any time: the new copy has it, too.
  if (why == Leave::kAlone && !winner_.empty() && winner_ != copy) {
    broken_("output of a stale copy: " + copy + " has acknowledged operation " + std::to_string(reply.number) +
            " by itself, after " + winner_ + " has taken over");
  }
  const auto [known, is_new] = acknowledged_.try_emplace(reply.number, Known{reply.chain, why, copy});
  if (is_new || known->second.chain == reply.chain) {
    // Said again by a copy whose backup has it.
    if (why == Leave::kCommitted) known->second.why = why;
    return;
  }
  broken_("output of a lost state: " + copy + " has acknowledged operation " + std::to_string(reply.number) +
          " of another history than " + known->second.copy + " had");
}

void Checker::Runs(const std::string& copy, const ModelState& state, const std::string& why) {
  if (forgiven()) return;
  if (!why.empty()) broken_("torn state: " + copy + " runs from one in which " + why);
  for (const auto& [number, known] : acknowledged_) {
    if (number > state.counter()) {
      broken_("lost: operation " + std::to_string(number) + " was acknowledged by " + known.copy +
              (known.why == Leave::kAlone ? ", which was alone" : "") + "; " + copy + " runs with " +
              std::to_string(state.counter()));
      return;
    }
    if (state.operation(number).chain != known.chain) {
      broken_("lost: operation " + std::to_string(number) + ", as " + known.copy + " acknowledged it; " + copy +
              " has another history");
      return;
    }
  }
}

uint64_t Checker::FirstUnknown() const {
  uint64_t number = 1;
  for (const auto& [known, reply] : acknowledged_) {
    if (known == number) number++;
  }
  return number;
}

void Checker::ForgiveAlone(const std::string& host) {
  std::erase_if(acknowledged_,
                [&](const auto& entry) { return entry.second.why == Leave::kAlone && entry.second.copy != host; });
}

}  // namespace haven::sim
