/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_SIM_UNSEEN_H
#define HAVEN_TESTS_SIM_UNSEEN_H

#ifdef __SANITIZE_THREAD__
extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif

namespace haven::sim {

// ThreadSanitizer is to look at the engine alone. The simulator's threads take turns, by means that the sanitizer
// does not see, so that it takes two threads of the engine as it would on a machine with many processors: ordered by
// the engine's own locks and threads, and by nothing else. What the simulator itself shares between threads would
// be a race then: it is left out wherever the engine calls the simulator.

namespace internal {
inline constinit thread_local bool unseen = false;

inline void SetUnseen(bool on) {
  if (unseen == on) return;
  unseen = on;
#ifdef __SANITIZE_THREAD__
  if (on) {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  } else {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
#endif
}
}  // namespace internal

/// As long as it lives, what the calling thread does is the simulator's, or the engine's.
class Side {
 public:
  explicit Side(bool unseen) : before_(internal::unseen) { internal::SetUnseen(unseen); }
  ~Side() { internal::SetUnseen(before_); }
  Side(const Side&) = delete;
  Side& operator=(const Side&) = delete;

 private:
  const bool before_;
};
struct Unseen : Side {
  Unseen() : Side(true) {}
};
struct Seen : Side {
  Seen() : Side(false) {}
};

/// What the simulator has the engine do.
template <typename Act>
decltype(auto) AsEngine(Act&& act) {
  const Seen seen;
  return act();
}

}  // namespace haven::sim

#endif
