// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/journal.h"

#include <string>
#include <vector>

#include "tests/unit/blkrep_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::blkrep;
using namespace haven::blkrep::test;

#define CHECK_OK(expression)                                 \
  do {                                                       \
    const Status check_ok_ = (expression);                   \
    CHECK_TEXT(check_ok_.ok(), check_ok_.message().c_str()); \
  } while (0)

TEST_GROUP(Journal) {
  TempFolder folder;
  std::unique_ptr<Journal> journal;

  void setup() override { Reopen(); }

  void Reopen(uint64_t segment_bytes = Journal::kSegmentBytes) {
    journal.reset();
    auto opened = Journal::Open(folder.File("j"), segment_bytes);
    CHECK_OK(opened.status());
    journal = std::move(opened.value());
  }
  void Append(Epoch epoch, uint64_t offset, uint8_t seed, size_t bytes = 100) {
    CHECK_OK(journal->Append(epoch, WriteOf(offset, bytes), Pattern(bytes, seed)));
  }
  std::vector<Taken> Take() {
    std::vector<Taken> out;
    CHECK_OK(TakeAll(*journal, out));
    return out;
  }
};

TEST(Journal, HandsOutNothingBeforeTheCommit) {
  Append(1, 0, 1);
  CHECK_EQUAL(0, Take().size());
  CHECK_EQUAL(1, journal->CountOf(1));
  CHECK_EQUAL(0, journal->LastCommitted());
}

TEST(Journal, HandsOutTheRequestsOfACommittedEpochOnceAndInOrder) {
  const Request zero{Request::Kind::kZero, true, 3, 4096, 1ull << 40};
  const Request discard{Request::Kind::kDiscard, false, 1, 0, 512};
  Append(1, 8192, 5);
  CHECK_OK(journal->Append(1, zero, {}));
  CHECK_OK(journal->Append(1, discard, {}));
  CHECK_OK(journal->Commit(1, false));
  const std::vector<Taken> taken = Take();
  CHECK_EQUAL(3, taken.size());
  CHECK(taken[0] == (Taken{1, WriteOf(8192, 100), Pattern(100, 5)}));
  CHECK(taken[1] == (Taken{1, zero, {}}));
  CHECK(taken[2] == (Taken{1, discard, {}}));
  CHECK_EQUAL(0, Take().size());
  CHECK_EQUAL(1, journal->LastCommitted());
}

TEST(Journal, CommitsAnEpochWhileTheNextIsAlreadyArriving) {
  Append(1, 0, 1);
  Append(2, 0, 2);
  CHECK_OK(journal->Commit(1, false));
  const std::vector<Taken> taken = Take();
  CHECK_EQUAL(1, taken.size());
  CHECK_EQUAL(1, taken[0].epoch);
  Append(2, 4096, 3);
  CHECK_EQUAL(2, journal->CountOf(2));
  CHECK_OK(journal->Commit(2, false));
  CHECK_EQUAL(2, Take().size());
}

TEST(Journal, CommitsTheSynchronisationAsEpochZero) {
  Append(kSyncEpoch, 0, 1);
  CHECK_OK(journal->Commit(kSyncEpoch, false));
  CHECK_EQUAL(1, Take().size());
  CHECK_FALSE(journal->Append(kSyncEpoch, WriteOf(0, 1), Pattern(1, 0)).ok());
}

TEST(Journal, KeepsCommittedRequestsAcrossAReopenUntilTheyAreApplied) {
  Append(1, 0, 1);
  CHECK_OK(journal->Commit(1, true));
  CHECK_EQUAL(1, Take().size());
  Reopen();
  CHECK_EQUAL(1, journal->LastCommitted());
  CHECK_EQUAL(1, Take().size());
  CHECK_OK(journal->MarkApplied(1));
  Reopen();
  CHECK_EQUAL(1, journal->LastCommitted());
  CHECK_EQUAL(0, Take().size());
}

TEST(Journal, NeverCountsDroppedRequestsWhenTheirEpochComesAgain) {
  Append(1, 0, 1);
  Append(2, 0, 66);  // lies before the commit mark of 1: is not cut off
  CHECK_OK(journal->Commit(1, false));
  Append(2, 4096, 67);
  CHECK_OK(journal->DiscardUncommitted());
  CHECK_EQUAL(0, journal->CountOf(2));
  Append(2, 512, 2);
  CHECK_OK(journal->Commit(2, false));
  for (int pass = 0; pass < 2; pass++, Reopen()) {
    const std::vector<Taken> taken = Take();
    CHECK_EQUAL(2, taken.size());
    CHECK(taken[1] == (Taken{2, WriteOf(512, 100), Pattern(100, 2)}));
  }
}

TEST(Journal, NeverCountsWhatAReopenDropped) {
  Append(1, 0, 1);
  Append(2, 0, 66);
  CHECK_OK(journal->Commit(1, false));
  Reopen();
  CHECK_OK(journal->Commit(2, false));
  CHECK_EQUAL(1, Take().size());
  Reopen();
  CHECK_EQUAL(1, Take().size());
  CHECK_EQUAL(2, journal->LastCommitted());
}

TEST(Journal, CutsOffWhatIsDiscarded) {
  Append(1, 0, 1);
  CHECK_OK(journal->Commit(1, false));
  const uint64_t before = journal->FileBytes();
  Append(2, 0, 2, 5000);
  CHECK(journal->FileBytes() > before + 5000);
  CHECK_OK(journal->DiscardUncommitted());
  CHECK_EQUAL(before, journal->FileBytes());
}

TEST(Journal, StaysSmallUnderALoadThatNeverPauses) {
  constexpr uint64_t kSegment = 4096;
  Reopen(kSegment);
  uint64_t largest = 0;
  Append(1, 0, 1);
  for (Epoch epoch = 1; epoch < 500; epoch++) {
    Append(epoch + 1, epoch * 512, static_cast<uint8_t>(epoch), 300);  // there is always one staged
    CHECK_OK(journal->Commit(epoch, epoch % 3 == 0));
    CHECK_EQUAL(1, Take().size());
    CHECK_OK(journal->MarkApplied(epoch));
    largest = std::max(largest, journal->FileBytes());
    if (epoch % 50 == 0) {
      Reopen(kSegment);
      CHECK_EQUAL(epoch, journal->LastCommitted());
      CHECK_EQUAL(0, Take().size());
      STRCMP_EQUAL("", journal->Damage().c_str());
      Append(epoch + 1, epoch * 512, static_cast<uint8_t>(epoch), 300);
    }
  }
  CHECK(largest < 3 * kSegment);
}

TEST(Journal, GoesBackToTheFrontWhenAllIsApplied) {
  Reopen(4096);
  Append(1, 0, 1, 50000);
  CHECK_OK(journal->Commit(1, false));
  CHECK_EQUAL(1, Take().size());
  CHECK_OK(journal->MarkApplied(1));
  CHECK(journal->FileBytes() < 200);
  Reopen();
  CHECK_EQUAL(1, journal->LastCommitted());
}

TEST(Journal, GrowsRatherThanForgetWhenApplyingDoesNotKeepUp) {
  Reopen(4096);
  for (Epoch epoch = 1; epoch <= 60; epoch++) {
    Append(epoch, epoch * 512, static_cast<uint8_t>(epoch), 400);
    CHECK_OK(journal->Commit(epoch, false));
  }
  Reopen(4096);
  const std::vector<Taken> taken = Take();
  CHECK_EQUAL(60, taken.size());
  for (Epoch epoch = 1; epoch <= 60; epoch++) CHECK(taken[epoch - 1].data == Pattern(400, static_cast<uint8_t>(epoch)));
  CHECK_OK(journal->MarkApplied(60));
  CHECK(journal->FileBytes() < 200);
}

TEST(Journal, RefusesEpochsThatGoBack) {
  Append(5, 0, 1);
  Status status = journal->Append(4, WriteOf(0, 1), Pattern(1, 0));
  CHECK(status.code() == StatusCode::kProtocol);
  STRCMP_CONTAINS("a request of epoch 4 after one of a later epoch", status.message().c_str());
  CHECK_OK(journal->Commit(5, false));
  status = journal->Append(5, WriteOf(0, 1), Pattern(1, 0));
  STRCMP_CONTAINS("epoch 5, which is committed already", status.message().c_str());
  status = journal->Commit(4, false);
  CHECK(status.code() == StatusCode::kProtocol);
  STRCMP_CONTAINS("a commit of epoch 4 after that of a later epoch", status.message().c_str());
  CHECK_FALSE(journal->Commit(UINT64_MAX, false).ok());
}

TEST(Journal, RefusesRangesAndDataThatCannotBe) {
  Status status = journal->Append(1, WriteOf(UINT64_MAX - 3, 8), Pattern(8, 0));
  CHECK(status.code() == StatusCode::kProtocol);
  STRCMP_CONTAINS("ends beyond any disk", status.message().c_str());
  status = journal->Append(1, WriteOf(0, 8), Pattern(7, 0));
  STRCMP_CONTAINS("7 octets for a request of 8", status.message().c_str());
  CHECK_EQUAL(0, journal->CountOf(1));
}

TEST(Journal, RefusesAnAppliedMarkForWhatWasNotTaken) {
  Append(1, 0, 1);
  CHECK(journal->MarkApplied(1).code() == StatusCode::kInvalid);
  CHECK_OK(journal->Commit(1, false));
  const Status status = journal->MarkApplied(1);
  CHECK(status.code() == StatusCode::kInvalid);
  STRCMP_CONTAINS("not all taken", status.message().c_str());
  CHECK_EQUAL(1, Take().size());
  CHECK_OK(journal->MarkApplied(1));
}

TEST(Journal, BeginsANewSessionWithSmallEpochsOnlyWhenAllIsApplied) {
  Append(7, 0, 1);
  CHECK_OK(journal->Commit(7, true));
  CHECK(journal->StartOver().code() == StatusCode::kInvalid);
  CHECK_EQUAL(1, Take().size());
  CHECK(journal->StartOver().code() == StatusCode::kInvalid);
  CHECK_OK(journal->MarkApplied(7));
  Append(8, 0, 66);
  CHECK_OK(journal->StartOver());
  CHECK_EQUAL(0, journal->LastCommitted());
  Append(1, 0, 9);
  CHECK_OK(journal->Commit(1, false));
  Reopen();
  CHECK_EQUAL(1, journal->LastCommitted());
  const std::vector<Taken> taken = Take();
  CHECK_EQUAL(1, taken.size());
  CHECK(taken[0].data == Pattern(100, 9));
}

TEST(Journal, IsOpenInOnePlaceOnly) {
  const auto second = Journal::Open(folder.File("j"));
  CHECK(second.status().code() == StatusCode::kRefused);
  STRCMP_CONTAINS("is in use", second.status().message().c_str());
}

TEST(Journal, ReportsDataThatRotsAfterItWasWritten) {
  Append(1, 0, 1);
  CHECK_OK(journal->Commit(1, false));
  const std::vector<Journal::Entry> entries = journal->TakeCommitted();
  Bytes file = ReadFile(folder.File("j"));
  file[entries[0].data_at + 50] ^= 1;
  WriteFile(folder.File("j"), file);
  Bytes data(100);
  const Status status = journal->ReadData(entries[0], data);
  CHECK(status.code() == StatusCode::kEnvironment);
  STRCMP_CONTAINS("does not match its checksum", status.message().c_str());
}
