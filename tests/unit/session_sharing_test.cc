// SPDX-License-Identifier: GPL-2.0-or-later
//
// Two guests of one host, each with its primary and its backup, that share
// pages in one store; and the reasons why they do not.

#include "tests/unit/session_pair.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::session;
using namespace haven::session::test;

TEST_GROUP(SharingSession) {
  memrep::PageStores stores{1024};
  blkrep::test::TempFolder folder;

  void Prepare(Pair & pair) {
    pair.backup_options.page_stores = &stores;
    pair.backup_options.share_group = "group";
    pair.primary_options.connect.share = true;
    pair.primary_options.shared_folder = folder.File("");
  }
  void Protect(Pair & pair) {
    pair.StartBackup();
    pair.StartPrimary();
    CHECK(pair.Protects());
    AwaitEpochs(pair);
  }
  void AwaitEpochs(Pair & pair) {
    Epoch now = pair.backup->Query().epoch;
    CHECK(Eventually([&] { return pair.backup->Query().epoch > now + 3; }));
  }
  /// The image, started by a person, is the guest at a checkpoint.
  void StartAndCompare(Pair & pair) {
    Status promoted = pair.backup->Failover(true);
    CHECK_TEXT(promoted.ok(), promoted.message().c_str());
    GuestState started = pair.activator.started();
    size_t serial = ByteReader(started.device).U64();
    GuestState saved;
    pair.loop.Run([&] { saved = pair.guest.saved.at(serial); });
    CHECK(started.memory == saved.memory);
  }
  /// Distinct pages, the same in every guest.
  void Fill(Pair & pair) {
    pair.loop.Run([&] {
      for (uint64_t page = 0; page < 60; page++) pair.guest.WritePage(0, page, static_cast<uint8_t>(page + 1));
    });
  }
};

TEST(SharingSession, PagesOfOneGuestTravelAsReferencesFromAnotherAndBothAreWhole) {
  Pair first, second;
  Prepare(first);
  Prepare(second);
  Fill(first);
  Protect(first);
  Protect(second);
  uint64_t next = 0;
  CHECK(Eventually([&] {
    second.loop.Run([&] { second.guest.WritePage(0, 10, static_cast<uint8_t>(next++ % 60 + 1)); });
    return second.Query().encoder_shared_pages > 0;
  }));
  for (Pair* pair : {&first, &second}) pair->Steps(100);
  for (Pair* pair : {&first, &second}) {
    AwaitEpochs(*pair);
    StartAndCompare(*pair);
  }
}

TEST(SharingSession, ABackupWithoutAGroupIsToldOfAndProtectsAllTheSame) {
  Pair pair;
  Prepare(pair);
  pair.backup_options.share_group = "";
  Protect(pair);
  STRCMP_EQUAL("the backup's configuration lets this guest share no pages (share = GROUP)",
               pair.Query().message.c_str());
}

TEST(SharingSession, AFolderThatCannotHoldTheFileIsToldOfAndTheGuestIsProtected) {
  Pair pair;
  Prepare(pair);
  pair.primary_options.shared_folder = "/nonexistent";
  Protect(pair);
  STRCMP_CONTAINS("no pages are shared: cannot open /nonexistent/haven-pages-", pair.Query().message.c_str());
}

TEST(SharingSession, APrimaryThatDoesNotWantToShareHasNoStore) {
  Pair pair;
  Prepare(pair);
  pair.primary_options.connect.share = false;
  Protect(pair);
  STRCMP_EQUAL("", pair.Query().message.c_str());
}

TEST(SharingSession, AStoreIsAskedForOnceBeforeLayoutAndWithTheFeature) {
  for (int which = 0; which < 3; which++) {
    Pair pair;
    Prepare(pair);
    if (which == 2) pair.backup_options.share_group = "";
    pair.StartBackup();
    HandMadeSession session(pair.listener.port());
    session.Identify();
    if (which == 1) session.SendLayout();
    HandMade& control = session.control;
    (void)control.link.Send(wire::Type::kStore, 0, wire::Encode(wire::Store{})).ok();
    if (which == 0) {
      auto reply = wire::DecodeStoreReply(control.Next().body);
      HAVEN_CHECK_OK(reply.status());
      CHECK_EQUAL(1024, reply.value().slots);
      CHECK_EQUAL(512, reply.value().count);
      (void)control.link.Send(wire::Type::kStore, 0, wire::Encode(wire::Store{})).ok();
    }
    STRCMP_EQUAL(which == 2 ? "1 STORE without the feature SHARED_PAGES"
                            : "1 a second STORE in one session, or one after LAYOUT",
                 control.Error().c_str());
    session.Close();
  }
}

TEST(SharingSession, AnEntryThatTheStoreDoesNotHaveEndsTheSession) {
  Pair pair;
  Prepare(pair);
  pair.StartBackup();
  HandMadeSession session(pair.listener.port());
  session.Identify();
  (void)session.control.link.Send(wire::Type::kStore, 0, wire::Encode(wire::Store{})).ok();
  session.control.Next();
  session.SendLayout();
  Bytes pages = haven::test::FromHex("00000000 01000000 0000000000000009 05000000");
  (void)session.memory->link.Send(wire::Type::kPages, 0, pages).ok();
  STRCMP_EQUAL("1 PAGES record: slot 5 of the store holds no page", session.control.Error().c_str());
  session.Close();
}
