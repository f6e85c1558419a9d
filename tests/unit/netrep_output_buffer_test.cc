// SPDX-License-Identifier: GPL-2.0-or-later
#include "netrep/output_buffer.h"

#include <string>
#include <vector>

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::netrep;

TEST_GROUP(OutputBuffer) {
  OutputBuffer buffer{1000 + 2 * sizeof(Frame)};
  std::vector<std::string> out;
  OutputBuffer::Sink sink = [this](const Frame& frame) {
    out.emplace_back(frame.data.get(), frame.data.get() + frame.bytes);
  };
  Instant now{};

  bool Hold(const std::string& text) {
    iovec iov{const_cast<char*>(text.data()), text.size()};
    return buffer.Hold(nullptr, 0, &iov, 1, now);
  }
  void CheckOut(const std::vector<std::string>& expected) {
    CHECK_EQUAL(expected.size(), out.size());
    for (size_t i = 0; i < expected.size(); i++) STRCMP_EQUAL(expected[i].c_str(), out[i].c_str());
  }
};

TEST(OutputBuffer, LetsNothingOutBeforeItsEpochIsCommitted) {
  Hold("a");
  CHECK_EQUAL(1, buffer.Cut());
  Hold("b");
  buffer.Release(0, sink);
  CheckOut({});
  buffer.Release(1, sink);
  CheckOut({"a"});
  CHECK_FALSE(buffer.empty());
  CHECK_EQUAL(2, buffer.Cut());
  buffer.Release(1, sink);
  CheckOut({"a"});
  buffer.Release(2, sink);
  CheckOut({"a", "b"});
  CHECK(buffer.empty());
}

TEST(OutputBuffer, LetsSeveralEpochsOutInTheOrderOfTheirFrames) {
  for (int epoch = 0; epoch < 3; epoch++) {
    for (int i = 0; i < 3; i++) Hold(std::to_string(epoch) + std::to_string(i));
    buffer.Cut();
  }
  buffer.Release(3, sink);
  CheckOut({"00", "01", "02", "10", "11", "12", "20", "21", "22"});
}

TEST(OutputBuffer, KeepsTheFramesCardFlagsAndAllItsPieces) {
  int card = 0;
  char pieces[] = "abcdef";
  iovec iov[3] = {{pieces, 1}, {pieces + 1, 0}, {pieces + 1, 5}};
  CHECK(buffer.Hold(&card, 5, iov, 3, now));
  pieces[0] = 'x';  // the guest uses its memory again
  buffer.Cut();
  buffer.Release(1, [&](const Frame& frame) {
    POINTERS_EQUAL(&card, frame.nic);
    CHECK_EQUAL(5, frame.flags);
    CHECK_EQUAL(1, frame.epoch);
    sink(frame);
  });
  CheckOut({"abcdef"});
}

TEST(OutputBuffer, DropsWhatDoesNotFitAndTakesFramesAgainAfterARelease) {
  CHECK(Hold(std::string(600, 'a')));
  CHECK_FALSE(Hold(std::string(401, 'b')));
  CHECK(Hold(std::string(400, 'c')));
  CHECK_FALSE(Hold("d"));
  CHECK_EQUAL(2, buffer.held());
  CHECK_EQUAL(buffer.limit_bytes(), buffer.held_bytes());
  CHECK_EQUAL(2, buffer.dropped());
  buffer.Cut();
  buffer.Release(1, sink);
  CHECK_EQUAL(2, buffer.released());
  CHECK_EQUAL(0, buffer.held());
  CHECK_EQUAL(0, buffer.held_bytes());
  CHECK(Hold(std::string(1000, 'e')));
}

TEST(OutputBuffer, HoldsFramesOfNoOctetsToItsLimit) {
  int held = 0;
  while (held < 10000 && Hold("")) held++;
  CHECK_EQUAL(buffer.limit_bytes() / sizeof(Frame), held);
  buffer.ReleaseAll(sink);
  CHECK_EQUAL(0, buffer.held_bytes());
}

TEST(OutputBuffer, LetsEverythingOutWhenToldThatNothingIsProtectedAnyMore) {
  Hold("a");
  buffer.Cut();
  Hold("b");
  buffer.ReleaseAll(sink);
  CheckOut({"a", "b"});
}

TEST(OutputBuffer, DoesNotLoopWhenTheSinkMakesNewFrames) {
  Hold("a");
  buffer.ReleaseAll([&](const Frame& frame) {
    sink(frame);
    Hold("answer");
  });
  CheckOut({"a"});
  CHECK_FALSE(buffer.empty());
}

TEST(OutputBuffer, KeepsWhatIsHeldForTheFirstEpochOfANewSession) {
  for (int i = 0; i < 5; i++) buffer.Cut();
  Hold("a");
  buffer.Restart(1);
  Hold("b");
  CHECK_EQUAL(1, buffer.current());
  CHECK_EQUAL(1, buffer.Cut());
  buffer.Release(1, sink);
  CheckOut({"a", "b"});
}

TEST(OutputBuffer, KnowsTheAgeOfItsOldestFrame) {
  CHECK_EQUAL(0, buffer.Lag(now).count());
  Hold("a");
  now += milliseconds(3);
  Hold("b");
  now += milliseconds(4);
  CHECK_EQUAL(7000, buffer.Lag(now).count());
  buffer.Cut();
  buffer.Release(1, sink);
  CHECK_EQUAL(0, buffer.Lag(now).count());
}
