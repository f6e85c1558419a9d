/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/format.h"

#include <algorithm>
#include <cstdio>

#include "core/epoch.h"

namespace haven::cli {

namespace {

using qmp::Json;

std::string Scaled(double value, const char* unit) {
  char text[48];
  int digits = value < 10 ? 2 : value < 100 ? 1 : 0;
  snprintf(text, sizeof(text), "%.*f %s", digits, value, unit);
  return text;
}

uint64_t Number(const Json& guest, const char* name) { return static_cast<uint64_t>(guest[name].Int()); }

/// What the guest does, where it is not what the state leads to expect; else empty.
std::string NotRunning(const Json& guest, const std::string& state) {
  const std::string run = Printable(guest["run_state"].String());
  for (const char* usual : {"", "running", "unknown"}) {
    if (run == usual) return "";
  }
  // Nobody expects it to run.
  for (const char* stopped : {"waiting", "lost", "held"}) {
    if (state == stopped) return "";
  }
  return " (" + run + ")";
}

std::vector<std::string> GuestRow(const Json& guest) {
  const bool primary = guest["role"].String() == "primary";
  std::string state = guest["state"].String("unknown");
  if (state == "stopped") state = "not protected";
  if (uint64_t total = Number(guest, "sync_total_bytes"); state == "syncing" && total != 0) {
    state += " " + std::to_string(Percent(Number(guest, "sync_done_bytes"), total)) + "%";
  }
  state += NotRunning(guest, state);
  std::vector<std::string> row = {guest["name"].String(), guest["role"].String(), state,
                                  std::to_string(Number(guest, "epoch"))};
  const bool measured = primary && guest.Has("pause_p50_us") && Number(guest, "epochs") != 0;
  row.push_back(measured ? FormatMicros(Number(guest, "pause_p50_us")) : "-");
  row.push_back(measured ? FormatMicros(Number(guest, "pause_p99_us")) : "-");
  row.push_back(measured ? FormatMicros(Number(guest, "lag_us")) : "-");
  row.push_back(FormatBytes(Number(guest, "memory_wire_bytes")));
  row.push_back(FormatBytes(Number(guest, "disk_wire_bytes")));
  return row;
}

}  // namespace

std::string Printable(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = '?';
  }
  return text;
}

std::string FormatBytes(uint64_t bytes) {
  static const char* const kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1000 && unit + 1 < std::size(kUnits); unit++) value /= 1024;
  return Scaled(value, kUnits[unit]);
}

std::string FormatMicros(uint64_t micros) {
  if (micros < 1000) return std::to_string(micros) + " us";
  if (micros < 1000000) return Scaled(static_cast<double>(micros) / 1e3, "ms");
  return Scaled(static_cast<double>(micros) / 1e6, "s");
}

int Percent(uint64_t done, uint64_t total) {
  if (total == 0 || done >= total) return 100;
  return std::min(99, static_cast<int>(100.0 * static_cast<double>(done) / static_cast<double>(total)));
}

std::string FormatTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); i++) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); i++) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 2, ' ');
    }
    text += line + "\n";
  }
  return text;
}

std::string FormatGuests(const std::vector<Json>& guests) {
  std::vector<std::vector<std::string>> rows = {
      {"GUEST", "ROLE", "STATE", "EPOCH", "PAUSE p50", "PAUSE p99", "LAG", "MEMORY", "DISK"}};
  std::string reasons;
  for (const Json& guest : guests) {
    rows.push_back(GuestRow(guest));
    std::string message = Printable(guest["message"].String());
    if (!message.empty()) reasons += guest["name"].String() + ": " + message + "\n";
  }
  return FormatTable(rows) + reasons;
}

std::string FormatNewer(const Json& guest) {
  const std::string newer = Printable(guest["newer"].String());
  const std::string generation = Printable(guest["generation"].String());
  if (newer.empty() && generation.empty()) return "";
  std::string text = "newer copy: " + (newer.empty()      ? "not compared yet"
                                       : newer == "equal" ? "both are equal"
                                                          : newer);
  if (!generation.empty()) text += ", generation here: " + generation;
  return text + "\n";
}

std::string FormatMode(const Json& guest) {
  const std::string mode = Printable(guest["mode"].String());
  if (mode.empty()) return "";
  return "mode " + mode + ": " + Printable(guest["mode_settings"].String()) + "\n";
}

std::string FormatLimits(const Json& guest) {
  if (Number(guest, "output_limit_bytes") != 0) {
    return "output held: " + FormatBytes(Number(guest, "output_held_bytes")) + " of " +
           FormatBytes(Number(guest, "output_limit_bytes")) +
           ", lag of the commit: " + FormatMicros(Number(guest, "commit_lag_us")) + " of " +
           FormatMicros(Number(guest, "commit_lag_limit_us")) + "\n";
  }
  if (Number(guest, "journal_limit_bytes") != 0) {
    return "journal: " + FormatBytes(Number(guest, "journal_bytes")) + " of " +
           FormatBytes(Number(guest, "journal_limit_bytes")) + "\n";
  }
  return "";
}

std::string FormatHavend(const Json& havend) {
  if (!havend.Has("descriptors_limit")) return "";
  const auto part = [&](const std::string& name) {
    return std::to_string(Number(havend, name.c_str())) + " of " +
           std::to_string(Number(havend, (name + "_limit").c_str()));
  };
  return "havend: descriptors " + part("descriptors") + ", threads " + part("threads") + ", half-open connections " +
         part("half_open") + "\n";
}

std::string FormatDevices(const Json& devices) {
  std::vector<std::vector<std::string>> rows = {{"DEVICE", "TYPE", "", "WHY"}};
  for (const Json& device : devices.Elements()) {
    std::string coverage = Printable(device["coverage"].String());
    std::replace(coverage.begin(), coverage.end(), '-', ' ');
    rows.push_back({Printable(device["path"].String()), Printable(device["type"].String()), coverage,
                    Printable(device["why"].String())});
  }
  return FormatTable(rows);
}

std::string FormatLastEpoch(const Json& guest) {
  if (!guest.Has("encoder_bytes") || Number(guest, "epochs") == 0) return "";
  const uint64_t pages = Number(guest, "dirty_pages_last");
  const uint64_t hits = Number(guest, "encoder_cache_hits");
  const uint64_t looked_up = hits + Number(guest, "encoder_cache_misses");
  auto bytes = [&](const char* name) { return FormatBytes(Number(guest, name)); };
  auto micros = [&](const char* name) { return FormatMicros(Number(guest, name)); };
  std::vector<std::vector<std::string>> rows = {
      {"last epoch:", "dirty pages", std::to_string(pages) + " (" + FormatBytes(pages * kPageBytes) + ")"},
      {"", "unchanged", std::to_string(Number(guest, "encoder_unchanged_pages"))},
      {"", "changed blocks", std::to_string(Number(guest, "encoder_changed_blocks"))},
      {"", "found in cache", looked_up == 0 ? "-" : std::to_string(Percent(hits, looked_up)) + "%"},
      {"", "shared", std::to_string(Number(guest, "encoder_shared_pages"))},
      {"", "after blocks", bytes("encoder_bytes_after_blocks")},
      {"", "after sharing", bytes("encoder_bytes_after_sharing")},
      {"", "after compression", bytes("encoder_bytes") + ", sent"},
      {"", "encoding", micros("encoder_us") + ", of it compression " + micros("encoder_compress_us")},
      {"", "at the backup", "decoding " + micros("decode_us") + ", applying the epoch before " + micros("apply_us")},
  };
  return FormatTable(rows);
}

}  // namespace haven::cli
