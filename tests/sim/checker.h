/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_SIM_CHECKER_H
#define HAVEN_TESTS_SIM_CHECKER_H

#include <functional>
#include <map>
#include <string>

#include "tests/sim/model_state.h"

namespace haven::sim {

/// What a reply of the guest says.
struct Reply {
  uint64_t number = 0;
  uint64_t chain = 0;
};

/// Knows what was acknowledged to the client, and says when a copy contradicts it.
class Checker {
 public:
  /// Why a reply left its host.
  enum class Leave {
    kCommitted,  ///< the backup has the state that it comes from
    kAlone,      ///< there is no backup, or it was lost
  };

  /// @param broken  is told of what may not be. It does not return.
  explicit Checker(std::function<void(const std::string& what)> broken) : broken_(std::move(broken)) {}

  void Left(const std::string& copy, const Reply& reply, Leave why);
  /// From here on what runs is the copy that a backup has started there: another one has lost.
  void TakesOver(const std::string& copy) { winner_ = copy; }
  /// A copy begins to run from `state`. @param why  what is wrong with it in itself; empty: nothing.
  void Runs(const std::string& copy, const ModelState& state, const std::string& why);

  /// From here on nothing is known: a person has decided against what the programs said, or an administrator had
  /// said before that silence decides, and it did.
  void Forgive(const std::string& why) { forgiven_ = why; }
  /// A person takes what `host` has, knowing that another copy may have gone on alone.
  void ForgiveAlone(const std::string& host);
  bool forgiven() const { return !forgiven_.empty(); }
  uint64_t FirstUnknown() const;
  uint64_t last() const { return acknowledged_.empty() ? 0 : acknowledged_.rbegin()->first; }
  bool Knows(uint64_t number) const { return acknowledged_.contains(number); }
  void Broken(const std::string& what) { broken_(what); }

 private:
  struct Known {
    uint64_t chain;
    Leave why;
    std::string copy;
  };

  const std::function<void(const std::string&)> broken_;
  std::map<uint64_t, Known> acknowledged_;
  std::string forgiven_;
  std::string winner_;  ///< empty: nobody has taken over
};

}  // namespace haven::sim

#endif
