// SPDX-License-Identifier: GPL-2.0-or-later
// Prints the table of session/after_loss.h: for the model in tests/model (Promela), or for docs/who-may-run.md.
#include "session/after_loss.h"

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

using haven::session::AfterLoss;
using haven::session::AfterLossName;
using haven::session::Decide;
using haven::session::LossFacts;

namespace {

using Guest = LossFacts::Guest;
using Backup = LossFacts::Backup;
using Arbiter = LossFacts::Arbiter;

// A new enumerator makes the compiler complain in these functions; then it belongs into the list below, too.
const char* Name(Guest guest) {
  switch (guest) {
    case Guest::kHere: return "here";
    case Guest::kGiven: return "given";
  }
  return nullptr;
}

const char* Name(Backup backup) {
  switch (backup) {
    case Backup::kNotAsked: return "not-asked";
    case Backup::kSilent: return "silent";
    case Backup::kBusy: return "busy";
    case Backup::kYields: return "yields";
    case Backup::kHasIt: return "has-it";
  }
  return nullptr;
}

const char* Name(Arbiter arbiter) {
  switch (arbiter) {
    case Arbiter::kNone: return "none";
    case Arbiter::kNotAsked: return "not-asked";
    case Arbiter::kUnknown: return "unknown";
    case Arbiter::kWon: return "won";
    case Arbiter::kLost: return "lost";
  }
  return nullptr;
}

constexpr Guest kGuests[] = {Guest::kHere, Guest::kGiven};
constexpr Backup kBackups[] = {Backup::kNotAsked, Backup::kSilent, Backup::kBusy, Backup::kYields, Backup::kHasIt};
constexpr Arbiter kArbiters[] = {Arbiter::kNone, Arbiter::kNotAsked, Arbiter::kUnknown, Arbiter::kWon, Arbiter::kLost};
constexpr AfterLoss kSteps[] = {AfterLoss::kRetry, AfterLoss::kAskBackup, AfterLoss::kAskArbiter,
                                AfterLoss::kHold,  AfterLoss::kRelease,   AfterLoss::kHalt};

/// `text` in capitals, with underscores, as a macro of Promela.
std::string Macro(const char* prefix, const char* text) {
  std::string name = std::string(prefix) + "_" + text;
  for (char& c : name) c = c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  return name;
}

template <typename Enum, size_t kCount>
void DefineNames(const char* prefix, const Enum (&values)[kCount]) {
  for (Enum value : values) std::printf("#define %s %d\n", Macro(prefix, Name(value)).c_str(), static_cast<int>(value));
}

template <typename Row>
void ForEachRow(Row row) {
  for (const bool held : {false, true}) {
    for (const bool pause : {false, true}) {
      for (const Guest guest : kGuests) {
        for (const Backup backup : kBackups) {
          for (const Arbiter arbiter : kArbiters) row(LossFacts{held, pause, guest, backup, arbiter});
        }
      }
    }
  }
}

/// Errors for which the model has to fail, or the model shows nothing.
enum class Broken { kNot, kReleaseWithoutAsking, kWaitForBusy };

AfterLoss DecideAs(Broken broken, LossFacts facts) {
  if (broken == Broken::kReleaseWithoutAsking && facts.backup == Backup::kNotAsked) facts.backup = Backup::kYields;
  // A backup that waits for the arbiter is busy as long as that does not answer it.
  if (broken == Broken::kWaitForBusy && facts.backup == Backup::kBusy && Decide(facts) == AfterLoss::kAskArbiter)
    return AfterLoss::kAskBackup;
  return Decide(facts);
}

void PrintPromela(Broken broken) {
  std::puts("/* Made by tests/model/decision_table from session/after_loss.cc. */");
  DefineNames("GUEST", kGuests);
  DefineNames("BACKUP", kBackups);
  DefineNames("ARBITER", kArbiters);
  for (AfterLoss step : kSteps)
    std::printf("#define %s %d\n", Macro("STEP", AfterLossName(step)).c_str(), static_cast<int>(step));
  std::puts("inline Decide(held, pause_on_loss, guest, backup, arbiter, step) {\n  d_step { if");
  ForEachRow([&](const LossFacts& facts) {
    std::printf("  :: held == %d && pause_on_loss == %d && guest == %s && backup == %s && arbiter == %s -> step = %s\n",
                facts.held, facts.pause_on_loss, Macro("GUEST", Name(facts.guest)).c_str(),
                Macro("BACKUP", Name(facts.backup)).c_str(), Macro("ARBITER", Name(facts.arbiter)).c_str(),
                Macro("STEP", AfterLossName(DecideAs(broken, facts))).c_str());
  });
  std::puts("  fi }\n}");
}

/// The answers of the backup by those of the arbiter, when the other facts are these.
std::string Cells(LossFacts facts) {
  std::string text = "| the backup |";
  for (Arbiter arbiter : kArbiters) text += std::string(" arbiter ") + Name(arbiter) + " |";
  text += "\n|---|---|---|---|---|---|\n";
  for (Backup backup : kBackups) {
    text += std::string("| ") + Name(backup) + " |";
    for (Arbiter arbiter : kArbiters) {
      facts.backup = backup;
      facts.arbiter = arbiter;
      text += std::string(" ") + AfterLossName(Decide(facts)) + " |";
    }
    text += "\n";
  }
  return text;
}

/// Facts that decide alike share a table.
void PrintDocument() {
  std::vector<std::pair<std::string, std::string>> tables;  // heads, cells
  for (const Guest guest : kGuests) {
    for (const bool held : {true, false}) {
      for (const bool pause : {false, true}) {
        const std::string head = std::string("Guest ") + Name(guest) + ", output " + (held ? "held" : "not held") +
                                 ", on-backup-loss " + (pause ? "pause" : "continue");
        const std::string cells = Cells(LossFacts{held, pause, guest, {}, {}});
        const auto same =
            std::find_if(tables.begin(), tables.end(), [&](const auto& table) { return table.second == cells; });
        if (same == tables.end()) {
          tables.emplace_back(head, cells);
        } else {
          same->first += "; or: " + head;
        }
      }
    }
  }
  for (const auto& [head, cells] : tables) std::printf("%s:\n\n%s\n", head.c_str(), cells.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  const std::string broken = argc > 2 ? argv[2] : "";
  if (what == "document" && broken.empty()) {
    PrintDocument();
  } else if (what == "promela" && broken.empty()) {
    PrintPromela(Broken::kNot);
  } else if (what == "promela" && broken == "release-without-asking") {
    PrintPromela(Broken::kReleaseWithoutAsking);
  } else if (what == "promela" && broken == "wait-for-busy") {
    PrintPromela(Broken::kWaitForBusy);
  } else {
    std::fputs("usage: decision_table document | promela [release-without-asking | wait-for-busy]\n", stderr);
    return 2;
  }
  return 0;
}
