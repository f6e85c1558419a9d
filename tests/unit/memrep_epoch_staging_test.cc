// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/epoch_staging.h"

#include <random>

#include "tests/unit/core_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::memrep;
using namespace haven::test;

TEST_GROUP(EpochStaging) {
  std::unique_ptr<GuestImage> image;
  std::unique_ptr<EpochStaging> staging;

  void setup() override {
    wire::Layout layout{{}, {{"pc.ram", 4 * kPageBytes}, {"vram", kPageBytes}}, {}};
    auto created = GuestImage::Create(layout, "pc.ram", 1 << 20);
    HAVEN_CHECK_OK(created.status());
    image = std::move(created.value());
    staging = std::make_unique<EpochStaging>(*image);
  }

  /// One whole page of `value`.
  Status AddPage(Epoch epoch, uint32_t region, uint64_t index, uint8_t value) {
    Bytes page(kPageBytes, value);
    RawPageEncoder encoder;
    EncodedPages out;
    PageRef ref{index, page.data()};
    encoder.Encode(region, {&ref, 1}, out);
    Bytes body = out.head;
    for (ByteSpan part : out.payload) body.insert(body.end(), part.begin(), part.end());
    return staging->AddPages(epoch, body);
  }
  Status AddState(Epoch epoch, uint64_t total, uint64_t offset, const std::string& data) {
    Bytes body;
    ByteWriter w(body);
    w.U64(total);
    w.U64(offset);
    w.Raw(ByteSpan(reinterpret_cast<const uint8_t*>(data.data()), data.size()));
    return staging->AddDeviceState(epoch, body);
  }
  void Commit(Epoch epoch, const wire::EpochEnd& end) {
    HAVEN_CHECK_OK(staging->Check(epoch, end));
    staging->Apply(epoch, end);
  }
  void CommitSmall(Epoch epoch, uint8_t value) {
    HAVEN_CHECK_OK(AddPage(epoch, 0, 1, value));
    HAVEN_CHECK_OK(AddState(epoch, 2, 0, "ab"));
    Commit(epoch, {1, 0, 2, 2, 0});
  }
  uint8_t At(uint32_t region, uint64_t page) { return image->regions()[region].data[page * kPageBytes + 17]; }
};

TEST(EpochStaging, PutsPagesOfTheFirstCopyIntoTheImageAtOnce) {
  HAVEN_CHECK_OK(AddPage(kSyncEpoch, 0, 2, 7));
  CHECK_EQUAL(7, At(0, 2));
  CHECK_EQUAL(0, image->epoch());
  HAVEN_CHECK_OK(AddPage(kSyncEpoch, 0, 2, 0));
  CHECK_EQUAL(0, At(0, 2));
}

TEST(EpochStaging, WorkersWriteWhatOneWouldWrite) {
  // Pages that come twice, and references between those that change.
  constexpr uint64_t kPages = 16384;  // as many as entries, at least ...
  constexpr uint64_t kHot = 512;      // ... and these change often: a reference at a wrong moment shows
  constexpr uint32_t kRecords = 40;
  wire::Layout layout{{}, {{"a", kPages * kPageBytes}, {"b", kPages * kPageBytes}}, {}};
  WorkerPool workers(4);
  std::unique_ptr<GuestImage> images[2];
  for (int which = 0; which < 2; which++) {
    auto created = GuestImage::Create(layout, "", 1 << 30);
    HAVEN_CHECK_OK(created.status());
    images[which] = std::move(created.value());
    EpochStaging staged(*images[which], which == 0 ? nullptr : &workers);
    std::mt19937 random(4);
    uint64_t pages = 0;
    uint32_t records = 0;
    for (uint32_t record = 0; record < kRecords; record++) {
      Bytes body, payload;
      ByteWriter head(body), data(payload);
      head.U32(record % 2);
      head.U32(512);
      for (uint32_t i = 0; i < 512; i++) {
        uint64_t index = random() % kHot;
        bool same = random() % 2500 == 0;
        bool assembled = random() % 2500 == 0;
        head.U64(uint64_t{assembled ? 7u : same ? 5u : 2u} << 56 | index);
        if (assembled) {  // all blocks of another page
          data.U8(1);
          data.U8(0);
          data.U8(64);
          data.U64(uint64_t{random() % 2} << 56 | random() % kHot * 64);
        } else if (same) {
          data.U64(uint64_t{random() % 2} << 56 | random() % kHot);
        } else {  // a run
          data.U16(static_cast<uint16_t>(random() % 4096));
          data.U16(1);
          data.U8(static_cast<uint8_t>(random()));
        }
      }
      body.insert(body.end(), payload.begin(), payload.end());
      HAVEN_CHECK_OK(staged.AddPages(1, body));
      pages += 512;
      records++;
    }
    Bytes state = FromHex("0100000000000000 0000000000000000 61");
    HAVEN_CHECK_OK(staged.AddDeviceState(1, state));
    wire::EpochEnd end{pages, 0, 1, records + 1, 0};
    HAVEN_CHECK_OK(staged.Check(1, end));
    staged.Apply(1, end);
  }
  for (size_t region = 0; region < 2; region++) {
    // Not MEMCMP_EQUAL: it would print all of it.
    CHECK(memcmp(images[0]->regions()[region].data, images[1]->regions()[region].data, kHot * kPageBytes) == 0);
  }
}

TEST(EpochStaging, ChangesNothingBeforeApplyAndAllAtApply) {
  HAVEN_CHECK_OK(AddPage(kSyncEpoch, 0, 3, 9));
  HAVEN_CHECK_OK(AddPage(1, 0, 0, 1));
  HAVEN_CHECK_OK(AddPage(1, 1, 0, 2));
  HAVEN_CHECK_OK(AddPage(1, 0, 3, 0));
  HAVEN_CHECK_OK(AddState(1, 5, 0, "abc"));
  HAVEN_CHECK_OK(AddState(1, 5, 3, "de"));
  CHECK_EQUAL(0, At(0, 0));
  CHECK_EQUAL(0, At(1, 0));
  CHECK_EQUAL(9, At(0, 3));
  CHECK(image->device_state().empty());
  Commit(1, {3, 0, 5, 5, wire::kGuestPaused, wire::GuestRun::kPanicked});
  CHECK_EQUAL(1, At(0, 0));
  CHECK_EQUAL(2, At(1, 0));
  CHECK_EQUAL(0, At(0, 3));
  CHECK(image->device_state() == (Bytes{'a', 'b', 'c', 'd', 'e'}));
  CHECK_EQUAL(1, image->epoch());
  CHECK(image->guest_paused());
  CHECK(image->guest_run() == wire::GuestRun::kPanicked);
}

TEST(EpochStaging, DropsAnEpochThatIsNotFinished) {
  CommitSmall(1, 1);
  HAVEN_CHECK_OK(AddPage(2, 0, 1, 2));
  staging->Clear();
  CHECK_EQUAL(1, At(0, 1));
  CHECK_EQUAL(1, image->epoch());
  CommitSmall(2, 3);
  CHECK_EQUAL(3, At(0, 1));
  CHECK_FALSE(image->guest_paused());
}

TEST(EpochStaging, RefusesEveryCountThatDiffers) {
  HAVEN_CHECK_OK(AddPage(1, 0, 1, 1));
  HAVEN_CHECK_OK(AddState(1, 2, 0, "ab"));
  HAVEN_CHECK_OK(staging->Check(1, {1, 0, 2, 2, 0}));
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "EPOCH_END counts 2 pages, 1 came", staging->Check(1, {2, 0, 2, 2, 0}));
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "EPOCH_END counts 1 memory records, 2 came",
                    staging->Check(1, {1, 0, 2, 1, 0}));
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "the device state is not complete", staging->Check(1, {1, 0, 3, 2, 0}));
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "EPOCH_END of epoch 2 is out of order", staging->Check(2, {1, 0, 2, 2, 0}));
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "EPOCH_END of epoch 0 is out of order", staging->Check(0, {1, 0, 2, 2, 0}));
}

TEST(EpochStaging, RefusesAnEpochWithoutAllOfItsDeviceState) {
  HAVEN_CHECK_OK(AddPage(1, 0, 1, 1));
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "the device state is not complete", staging->Check(1, {1, 0, 0, 1, 0}));
  HAVEN_CHECK_OK(AddState(1, 10, 0, "ab"));
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "the device state is not complete", staging->Check(1, {1, 0, 2, 2, 0}));
}

TEST(EpochStaging, RefusesPiecesOfDeviceStateThatDoNotFit) {
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "device state outside of an epoch", AddState(0, 2, 0, "ab"));
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "DEVICE_STATE record: over the limit",
                    AddState(1, wire::kMaxDeviceStateBytes + 1, 0, "ab"));
  const char* misfit = "DEVICE_STATE record: pieces do not fit together";
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, misfit, AddState(1, 5, 1, "ab"));  // a gap
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, misfit, AddState(1, 1, 0, "ab"));  // more than the total
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, misfit, AddState(1, 5, 0, ""));    // nothing
  HAVEN_CHECK_OK(AddState(1, 5, 0, "ab"));
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, misfit, AddState(1, 5, 0, "ab"));    // again
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, misfit, AddState(1, 6, 2, "cd"));    // another total
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, misfit, AddState(1, 5, 2, "cdef"));  // beyond the end
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, misfit, AddState(1, 5, UINT64_MAX, "c"));
  Bytes body = FromHex("0500000000000000 0200000000000000 63");
  for (size_t cut = 0; cut < 16; cut++) {
    HAVEN_CHECK_FAILS(StatusCode::kProtocol, "DEVICE_STATE record: too short",
                      staging->AddDeviceState(1, ByteSpan(body).first(cut)));
  }
}

TEST(EpochStaging, RefusesEpochsOutOfOrder) {
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "memory of epoch 2 came after epoch 0", AddPage(2, 0, 0, 1));
  CommitSmall(1, 1);
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "memory of epoch 0 came after epoch 1", AddPage(0, 0, 0, 1));
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "memory of epoch 1 came after epoch 1", AddPage(1, 0, 0, 1));
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "memory of epoch 3 came after epoch 1", AddPage(3, 0, 0, 1));
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "memory of epoch 1 came after epoch 1", AddState(1, 2, 0, "ab"));
  CommitSmall(2, 2);
  CHECK_EQUAL(2, At(0, 1));
}

TEST(EpochStaging, HoldsNoMorePagesThanTheGuestHasTwice) {
  for (int i = 0; i < 10; i++) HAVEN_CHECK_OK(AddPage(1, 0, 0, static_cast<uint8_t>(i)));
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "an epoch has more than twice the pages of the guest", AddPage(1, 0, 0, 1));
}

TEST(EpochStaging, AppliesTheNewestOfAPageThatCameTwice) {
  HAVEN_CHECK_OK(AddPage(1, 0, 0, 1));
  HAVEN_CHECK_OK(AddPage(1, 0, 0, 2));
  HAVEN_CHECK_OK(AddState(1, 2, 0, "ab"));
  Commit(1, {2, 0, 2, 3, 0});
  CHECK_EQUAL(2, At(0, 0));
}

// --- pages that are shared -----------------------------------------------------

TEST_GROUP_BASE(SharedEntries, TEST_GROUP_CppUTestGroupEpochStaging) {
  std::shared_ptr<PageStore> store = PageStore::Create(8).value();
  std::unique_ptr<StoreLease> lease = store->Lease();  // slots 0 to 3

  void setup() override {
    TEST_GROUP_CppUTestGroupEpochStaging::setup();
    staging->Share(lease.get());
  }
  Status Add(Epoch epoch, const std::string& hex) {
    Bytes body = FromHex(hex);
    return staging->AddPages(epoch, body);
  }
  Status AddState(Epoch epoch) { return TEST_GROUP_CppUTestGroupEpochStaging::AddState(epoch, 2, 0, "ab"); }
};

TEST(SharedEntries, KeepsAPageWhenItsEpochIsAppliedAndNotBefore) {
  HAVEN_CHECK_OK(AddPage(1, 0, 1, 7));
  // Page 1 with one octet changed, in slot 2.
  HAVEN_CHECK_OK(Add(1, "00000000 01000000 0100000000000008 02000000 02 1100 0100 09"));
  HAVEN_CHECK_OK(AddState(1));
  POINTERS_EQUAL(nullptr, store->Find(2));
  Commit(1, {2, 0, 2, 3, 0});
  CHECK_EQUAL(9, At(0, 1));
  MEMCMP_EQUAL(image->regions()[0].data + kPageBytes, store->Find(2), kPageBytes);
}

TEST(SharedEntries, FillsNothingFromAnEpochThatIsNeverCommitted) {
  HAVEN_CHECK_OK(Add(1, "00000000 01000000 0100000000000008 02000000 01"));
  staging->Clear();
  staging->Share(nullptr);
  lease.reset();
  POINTERS_EQUAL(nullptr, store->Find(2));
}

TEST(SharedEntries, MakesAPageWhatAnotherSessionHasKept) {
  auto other = store->Lease();
  CHECK(other->Take(other->first()));
  Bytes page(kPageBytes, 5);
  other->Keep(other->first(), page.data());
  CHECK_EQUAL(4, other->first());
  HAVEN_CHECK_OK(Add(kSyncEpoch, "00000000 01000000 0200000000000009 04000000"));
  CHECK_EQUAL(5, At(0, 2));
  HAVEN_CHECK_OK(Add(1, "01000000 01000000 0000000000000009 04000000"));
  HAVEN_CHECK_OK(AddState(1));
  CHECK_EQUAL(0, At(1, 0));
  Commit(1, {1, 0, 2, 2, 0});
  CHECK_EQUAL(5, At(1, 0));
}

TEST(SharedEntries, KeepsPagesOfTheFirstCopyAtOnce) {
  HAVEN_CHECK_OK(AddPage(kSyncEpoch, 0, 3, 6));
  HAVEN_CHECK_OK(Add(kSyncEpoch, "00000000 01000000 0100000000000008 00000000 05 0300000000000000"));
  MEMCMP_EQUAL(image->regions()[0].data + 3 * kPageBytes, store->Find(0), kPageBytes);
}

TEST(SharedEntries, RefusesSlotsThatASessionMayNotFillOrThatHoldNothing) {
  struct Case {
    const char* body;
    const char* message;
  };
  const char* taken = "PAGES record: slot 1 of the store is not this session's to fill, or is taken";
  HAVEN_CHECK_OK(Add(1, "00000000 01000000 0100000000000008 01000000 01"));
  const Case cases[] = {
      {"00000000 01000000 0100000000000008 01000000 01", taken},  // twice in an epoch
      {"00000000 01000000 0100000000000008 04000000 01",
       "PAGES record: slot 4 of the store is not this session's to fill, or is taken"},
      {"00000000 01000000 0100000000000008 ffffffff 01",
       "PAGES record: slot 4294967295 of the store is not this session's to fill, or is taken"},
      {"00000000 01000000 0100000000000009 01000000", "PAGES record: slot 1 of the store holds no page"},  // not yet
      {"00000000 01000000 0100000000000009 ffffffff", "PAGES record: slot 4294967295 of the store holds no page"},
      {"00000000 01000000 0100000000000008 00000000 08", "PAGES record: code 8 may not be kept"},
      {"00000000 01000000 0100000000000008 00000000 09", "PAGES record: code 9 may not be kept"},
      {"00000000 01000000 0100000000000008 00000000 0a", "PAGES record: unknown code 10 of a page"},
      {"00000000 01000000 0100000000000008 03000000", "PAGES record: too short for its pages"},
      {"00000000 01000000 0100000000000008 03000000 00 01", "PAGES record: too short for its pages"},
      {"00000000 01000000 0100000000000009 030000", "PAGES record: too short for its pages"},
  };
  for (const Case& c : cases) HAVEN_CHECK_FAILS(StatusCode::kProtocol, c.message, Add(1, c.body));
}

TEST(SharedEntries, RefusesASlotThatWasFilledInAnEpochBefore) {
  HAVEN_CHECK_OK(Add(1, "00000000 01000000 0100000000000008 01000000 01"));
  HAVEN_CHECK_OK(AddState(1));
  Commit(1, {1, 0, 2, 2, 0});
  HAVEN_CHECK_FAILS(StatusCode::kProtocol,
                    "PAGES record: slot 1 of the store is not this session's to fill, or is taken",
                    Add(2, "00000000 01000000 0100000000000008 01000000 01"));
}

TEST_GROUP(GuestImage){};

TEST(GuestImage, RefusesAGuestOverTheLimitEvenIfItsSizeOverflows) {
  uint64_t half = uint64_t{1} << 55;
  wire::Layout large{{}, {{"a", half}, {"b", half}}, {}};
  HAVEN_CHECK_FAILS(StatusCode::kRefused, "the guest's memory is over the backup's limit of 1024 MiB",
                    GuestImage::Create(large, "a", 1 << 30).status());
  wire::Layout fits{{}, {{"a", 8192}, {"b", 4096}}, {}};
  HAVEN_CHECK_OK(GuestImage::Create(fits, "a", 12288).status());
  CHECK(GuestImage::Create(fits, "a", 12287).status().code() == StatusCode::kRefused);
}

TEST(GuestImage, SharesTheRegionThatAWaitingProcessMaps) {
  wire::Layout layout{{}, {{"pc.ram", 8192}, {"vram", 4096}}, {}};
  auto image = GuestImage::Create(layout, "pc.ram", 1 << 20);
  HAVEN_CHECK_OK(image.status());
  CHECK(image.value()->regions()[0].fd >= 0);
  CHECK_EQUAL(-1, image.value()->regions()[1].fd);
}
