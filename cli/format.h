/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CLI_FORMAT_H
#define HAVEN_CLI_FORMAT_H

#include <cstdint>
#include <string>
#include <vector>

#include "qmp/json.h"

namespace haven::cli {

// Text for people. Pure.

/// "512 B", "1.5 KiB", "23.4 GiB".
std::string FormatBytes(uint64_t bytes);
/// "850 us", "1.25 ms", "52 ms", "3.4 s".
std::string FormatMicros(uint64_t micros);
/// Whole percents, 100 only when all is done.
int Percent(uint64_t done, uint64_t total);

/// A message may carry what a peer said: without control characters for the terminal.
std::string Printable(std::string text);

/// Columns as wide as their widest cell, two blanks between; each row one line.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows);

/// The table of `haven status`, then a line for each guest that has a message.
std::string FormatGuests(const std::vector<qmp::Json>& guests);

/// Whose copy is newer, as of the last comparison of both sides, on one line; empty when there was none.
std::string FormatNewer(const qmp::Json& guest);

/// When checkpoints of a primary are taken, on one line; empty when it does not say.
std::string FormatMode(const qmp::Json& guest);

/// What it holds, and how much of each it may: on one line; empty when it does not say.
std::string FormatLimits(const qmp::Json& guest);

/// What havend has of what is limited, and these limits, on one line; empty when it does not say.
std::string FormatHavend(const qmp::Json& havend);

/// The devices of a guest and what becomes of each, a line for each.
std::string FormatDevices(const qmp::Json& devices);

/// What became of the memory of a primary's last epoch, on some lines; empty
/// before there was one.
std::string FormatLastEpoch(const qmp::Json& guest);

}  // namespace haven::cli

#endif
