/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "havend/config.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <set>
#include <sstream>
#include <sys/un.h>
#include <unistd.h>

#include <glib.h>

namespace haven::havend {

namespace {

using KeyFile = std::unique_ptr<GKeyFile, decltype(&g_key_file_free)>;
constexpr char kGuestPrefix[] = "guest ";
constexpr char kDiskPrefix[] = "disk.";
constexpr size_t kMaxNameCharacters = 255;

Status Invalid(const std::string& message) { return Status(StatusCode::kInvalid, message); }

/// Handles one `key = value` of a group.
using SetKey = std::function<Status(const std::string& key, const std::string& value)>;

/// Calls `set` for each key of `group`; its errors get the group and key in front.
Status ForEachKey(GKeyFile* keys, const std::string& group, const SetKey& set) {
  std::unique_ptr<gchar*, decltype(&g_strfreev)> names(g_key_file_get_keys(keys, group.c_str(), nullptr, nullptr),
                                                       g_strfreev);
  for (gchar** name = names.get(); name != nullptr && *name != nullptr; name++) {
    // The raw value: the quoting of commands is the shell's, not the key file's.
    std::unique_ptr<gchar, decltype(&g_free)> value(g_key_file_get_value(keys, group.c_str(), *name, nullptr), g_free);
    HAVEN_RETURN_IF_ERROR(set(*name, value ? value.get() : "").With("[" + group + "] " + *name));
  }
  return Status::Ok();
}

Status SetPath(std::string& out, const std::string& value) {
  if (value.empty() || value[0] != '/') {
    return Invalid("must be an absolute path, not '" + value + "'");
  }
  out = value;
  while (out.size() > 1 && out.back() == '/') out.pop_back();
  return Status::Ok();
}

Status SetChoice(bool& out, const std::string& value, const char* if_false, const char* if_true) {
  if (value != if_false && value != if_true) {
    return Invalid(std::string("must be ") + if_false + " or " + if_true + ", not '" + value + "'");
  }
  out = value == if_true;
  return Status::Ok();
}

Status SetDiskAck(session::DiskAck& out, const std::string& value) {
  using session::DiskAck;
  constexpr std::pair<const char*, DiskAck> kKnown[] = {
      {"received", DiskAck::kReceived}, {"durable", DiskAck::kDurable}, {"epoch", DiskAck::kEpoch}};
  for (const auto& [name, ack] : kKnown) {
    if (value != name) continue;
    out = ack;
    return Status::Ok();
  }
  return Invalid("must be received, durable or epoch, not '" + value + "'");
}

Result<uint64_t> Number(const std::string& value, uint64_t least, uint64_t most) {
  errno = 0;
  char* end = nullptr;
  uint64_t number = strtoull(value.c_str(), &end, 10);
  bool digits = !value.empty() && value.find_first_not_of("0123456789") == std::string::npos;
  if (!digits || errno != 0 || number < least || number > most) {
    return Invalid("must be a whole number from " + std::to_string(least) + " to " + std::to_string(most) + ", not '" +
                   value + "'");
  }
  return number;
}

Result<std::vector<std::string>> Words(const std::string& value) {
  gint count = 0;
  gchar** words = nullptr;
  GError* error = nullptr;
  if (!g_shell_parse_argv(value.c_str(), &count, &words, &error)) {
    Status status = Invalid(std::string("cannot be split into words: ") + error->message);
    g_error_free(error);
    return status;
  }
  std::vector<std::string> result(words, words + count);
  g_strfreev(words);
  return result;
}

Status SetListen(Config& config, const std::string& value) {
  size_t colon = value.rfind(':');
  std::string host = value.substr(0, colon == std::string::npos ? 0 : colon);
  bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  if (host.empty() || (!brackets && host.find_first_of(":[]") != std::string::npos)) {
    return Invalid("must be HOST:PORT or [IPV6]:PORT, not '" + value + "'");
  }
  config.host = host;
  config.port = value.substr(colon + 1);
  return Number(config.port, 1, 65535).status().With("port");
}

Status SetCommand(GuestConfig& guest, const std::string& value) {
  Result<std::vector<std::string>> words = Words(value);
  if (!words.ok()) return words.status();
  if (words.value()[0][0] != '/') {
    return Invalid("must begin with the absolute path of a program, not '" + words.value()[0] + "'");
  }
  for (const std::string& word : words.value()) {
    std::string option = word.substr(0, 2) == "--" ? word.substr(1) : word;
    if (option == "-daemonize" || option == "-incoming") {
      return Invalid("must not contain " + word + ": havend itself starts the guest and tells it " + "when to run");
    }
  }
  guest.command = words.value();
  return Status::Ok();
}

Status SetArbiter(GuestConfig& guest, const std::string& value) {
  if (value == "none") return Status::Ok();
  Result<std::vector<std::string>> words = Words(value);
  if (!words.ok()) return words.status();
  if (words.value()[0][0] != '/') {
    return Invalid("must be none or begin with the absolute path of a program, not '" + words.value()[0] + "'");
  }
  guest.arbiter = value;
  return Status::Ok();
}

Status SetDisk(GuestConfig& guest, const std::string& key, const std::string& value) {
  std::string disk = key.substr(strlen(kDiskPrefix));
  if (disk.empty()) return Invalid("must name a disk: disk.NAME = PATH");
  return SetPath(guest.disks[disk], value);
}

Status SetShare(GuestConfig& guest, const std::string& value) {
  bool word = !value.empty() && std::all_of(value.begin(), value.end(), [](char c) { return g_ascii_isgraph(c); });
  if (!word) return Invalid("must be the name of a group, one word, not '" + value + "'");
  guest.share = value;
  return Status::Ok();
}

Status SetGuestKey(GuestConfig& guest, const std::string& key, const std::string& value) {
  if (key == "command") return SetCommand(guest, value);
  if (key == "xl-config") return SetPath(guest.xl_config, value);
  if (key == "trial") return SetChoice(guest.trial, value, "no", "yes");
  if (key == "share") return SetShare(guest, value);
  if (key == "arbiter") return SetArbiter(guest, value);
  if (key == "disk-ack") return SetDiskAck(guest.disk_ack, value);
  if (key == "create") return SetChoice(guest.create, value, "no", "yes");
  if (key == "on-new-life") return SetChoice(guest.discard_on_new_life, value, "ask", "discard");
  if (key == "on-stuck") return SetChoice(guest.take_over_stuck, value, "tell", "take-over");
  if (key == "other-machine") return SetChoice(guest.other_machine, value, "refuse", "allow");
  if (key == "promote") return SetChoice(guest.auto_promote, value, "manual", "auto");
  if (key.compare(0, strlen(kDiskPrefix), kDiskPrefix) == 0) return SetDisk(guest, key, value);
  if (key == "ram-region") {
    // The name becomes part of QEMU options, where a comma separates.
    if (value.empty() || value.find_first_of(",= /") != std::string::npos) {
      return Invalid("must be the name of a memory region, such as pc.ram, not '" + value + "'");
    }
    guest.ram_region = value;
    return Status::Ok();
  }
  if (key == "deadline-ms") {
    Result<uint64_t> number = Number(value, 50, 60000);
    if (number.ok()) guest.deadline = milliseconds(number.value());
    return number.status();
  }
  if (key == "memory-limit-mb") {
    Result<uint64_t> number = Number(value, 1, 16u << 20);
    if (number.ok()) guest.memory_limit_bytes = number.value() << 20;
    return number.status();
  }
  if (key == "journal-limit-mb") {
    Result<uint64_t> number = Number(value, 64, 16u << 20);
    if (number.ok()) guest.journal_limit_bytes = number.value() << 20;
    return number.status();
  }
  return Invalid(
      "is not a known key (known: command, xl-config, trial, ram-region, disk.NAME, create, disk-ack, on-new-life, "
      "on-stuck, other-machine, promote, deadline-ms, arbiter, memory-limit-mb, journal-limit-mb, share)");
}

Status CheckGuestName(const std::string& name) {
  constexpr char kAllowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
  if (name.empty() || name[0] == '.' || name[0] == '-' || name.size() > kMaxNameCharacters ||
      name.find_first_not_of(kAllowed) != std::string::npos) {
    return Invalid(
        "a guest's name consists of letters, digits, '.', '_' and '-' and begins with a "
        "letter, digit or '_', not '" +
        name + "'");
  }
  return Status::Ok();
}

Status ParseGuest(GKeyFile* keys, const std::string& group, Config& config) {
  GuestConfig guest;
  guest.name = group.substr(strlen(kGuestPrefix));
  HAVEN_RETURN_IF_ERROR(CheckGuestName(guest.name).With("[" + group + "]"));
  HAVEN_RETURN_IF_ERROR(ForEachKey(keys, group, [&guest](const std::string& key, const std::string& value) {
    return SetGuestKey(guest, key, value);
  }));
  if (guest.command.empty() && guest.xl_config.empty()) {
    return Invalid("[" + group +
                   "] command: is missing; it says how the guest is started here (for a guest of Xen, "
                   "write xl-config = its xl.cfg instead)");
  }
  if (!guest.command.empty() && !guest.xl_config.empty()) {
    return Invalid("[" + group + "] xl-config: a guest is started either by xl or by a command; remove one of them");
  }
  if (guest.xl_config.empty() && g_key_file_has_key(keys, group.c_str(), "trial", nullptr)) {
    return Invalid("[" + group +
                   "] trial: is for guests that xl starts (xl-config); one that a command starts is always loaded as a "
                   "trial; remove it");
  }
  if (guest.auto_promote && !g_key_file_has_key(keys, group.c_str(), "arbiter", nullptr)) {
    return Invalid("[" + group +
                   "] arbiter: is missing, and promote = auto needs it: give a command "
                   "that decides which host may run the guest, or write arbiter = none to accept "
                   "that the primary's silence alone decides, so that both copies may run when only "
                   "the network between the hosts has failed");
  }
  if (guest.take_over_stuck && guest.arbiter.empty()) {
    return Invalid(
        "[" + group +
        "] on-stuck: take-over needs an arbiter, which makes sure that the primary that hangs does not go on "
        "once it moves again");
  }
  config.guests.push_back(std::move(guest));
  return Status::Ok();
}

Status ParseHavend(GKeyFile* keys, Config& config) {
  bool insecure = false;
  HAVEN_RETURN_IF_ERROR(ForEachKey(keys, "havend", [&](const std::string& key, const std::string& value) -> Status {
    if (key == "listen") return SetListen(config, value);
    if (key == "state-dir") return SetPath(config.state_dir, value);
    if (key == "run-dir") return SetPath(config.run_dir, value);
    if (key == "insecure") return SetChoice(insecure, value, "no", "yes");
    if (key == "share-memory-mb") {
      Result<uint64_t> number = Number(value, 1, 1u << 20);
      if (number.ok()) config.share_memory_mib = static_cast<uint32_t>(number.value());
      return number.status();
    }
    if (key == "half-open-limit") {
      Result<uint64_t> number = Number(value, 8, 4096);
      if (number.ok()) config.half_open_limit = static_cast<uint32_t>(number.value());
      return number.status();
    }
    return Invalid(
        "is not a known key (known: listen, state-dir, run-dir, insecure, share-memory-mb, half-open-limit)");
  }));
  if (config.host.empty()) return Invalid("[havend] listen: is missing; write listen = HOST:PORT");
  if (!insecure) {
    return Invalid(
        "[havend] insecure: this version sends guest memory and disks over plain TCP, "
        "without encryption or authentication: put it on a network that only the two "
        "hosts can reach, and write insecure = yes to say that you did");
  }
  return Status::Ok();
}

/// Where in the text things are, which GKeyFile does not say.
struct Lines {
  std::map<std::string, int> of;  ///< "[group]" and "[group] key" -> the number of its line
  int unreadable = 0;             ///< the first line that is nothing; 0: there is none
  Status duplicate = Status::Ok();
};

/// GKeyFile silently takes the last of two equal keys and joins equal groups.
Lines LinesOf(const std::string& text) {
  Lines lines;
  std::istringstream in(text);
  std::string line, group;
  for (int number = 1; std::getline(in, line); number++) {
    line.erase(0, line.find_first_not_of(" \t"));
    if (line.empty() || line[0] == '#') continue;
    size_t equals = line.find('=');
    std::string what;
    if (line[0] == '[') {
      what = group = line.substr(0, line.find(']') + 1);
    } else if (equals != std::string::npos && !group.empty()) {
      std::string key = line.substr(0, equals);
      key.erase(key.find_last_not_of(" \t") + 1);
      what = group + " " + key;
    } else {
      if (lines.unreadable == 0) lines.unreadable = number;
      continue;
    }
    if (!lines.of.emplace(what, number).second && lines.duplicate.ok()) {
      lines.duplicate = Invalid("line " + std::to_string(number) + ": " + what + " is given a second time");
    }
  }
  return lines;
}

/// Messages begin with what they are about: "[group]" or "[group] key".
Status Locate(const Status& status, const Lines& lines) {
  int number = 0;
  size_t longest = 0;
  for (const auto& [what, at] : lines.of) {
    if (!status.message().starts_with(what) || what.size() < longest) continue;
    number = at;
    longest = what.size();
  }
  return number == 0 ? status : status.With("line " + std::to_string(number));
}

Status ParseGroups(GKeyFile* keys, Config& config) {
  if (!g_key_file_has_group(keys, "havend")) return Invalid("the group [havend] is missing");
  std::unique_ptr<gchar*, decltype(&g_strfreev)> groups(g_key_file_get_groups(keys, nullptr), g_strfreev);
  for (gchar** at = groups.get(); *at != nullptr; at++) {
    std::string group = *at;
    if (group == "havend") {
      HAVEN_RETURN_IF_ERROR(ParseHavend(keys, config));
    } else if (group.compare(0, strlen(kGuestPrefix), kGuestPrefix) == 0) {
      HAVEN_RETURN_IF_ERROR(ParseGuest(keys, group, config));
    } else {
      return Invalid("[" + group + "] is not a known group (known: [havend], [guest NAME])");
    }
  }
  if (config.guests.empty()) {
    return Invalid("no guest is configured; add a group [guest NAME] for each guest to protect");
  }
  return CheckTogether(config);
}

/// Whether what starts the guests is there, and what it says.
Status FindPrograms(Config& config) {
  for (GuestConfig& guest : config.guests) {
    const std::string group = "[guest " + guest.name + "] ";
    if (!guest.xl_config.empty()) {
      std::ifstream in(guest.xl_config);
      guest.xl_text.assign(std::istreambuf_iterator<char>(in), {});
      if (in) continue;
      return Status::FromErrno(errno, group + "xl-config: cannot read " + guest.xl_config);
    }
    if (access(guest.command[0].c_str(), X_OK) != 0) {
      return Status::FromErrno(errno, group + "command: cannot execute " + guest.command[0]);
    }
  }
  return Status::Ok();
}

}  // namespace

Status CheckTogether(const Config& config) {
  std::map<std::string, std::string> users;  // two guests that write one disk would destroy it
  for (const GuestConfig& guest : config.guests) {
    if (config.QmpPath(guest).size() >= sizeof(sockaddr_un::sun_path)) {
      return Invalid("[havend] run-dir: " + config.QmpPath(guest) +
                     " is too long for a socket; choose a shorter run-dir or guest name");
    }
    for (const auto& [disk, path] : guest.disks) {
      std::string user = "[guest " + guest.name + "] " + kDiskPrefix + disk;
      auto [at, fresh] = users.emplace(path, user);
      if (!fresh) return Invalid(user + ": " + path + " is already used by " + at->second);
    }
  }
  return Status::Ok();
}

Result<Config> ParseConfig(const std::string& text, const std::string& file) {
  const Lines lines = LinesOf(text);
  KeyFile keys(g_key_file_new(), g_key_file_free);
  GError* error = nullptr;
  if (!g_key_file_load_from_data(keys.get(), text.data(), text.size(), G_KEY_FILE_NONE, &error)) {
    Status status = Invalid(error->message);
    g_error_free(error);
    if (lines.unreadable != 0) status = status.With("line " + std::to_string(lines.unreadable));
    return status.With(file);
  }
  Config config;
  config.file = file;
  Status status = lines.duplicate;
  if (status.ok()) status = Locate(ParseGroups(keys.get(), config), lines);
  if (!status.ok()) return status.With(file);
  return config;
}

Result<Config> LoadConfig(const std::string& file) {
  std::ifstream in(file);
  if (!in) return Status::FromErrno(errno, "cannot read the configuration " + file);
  std::stringstream text;
  text << in.rdbuf();
  Result<Config> config = ParseConfig(text.str(), file);
  if (!config.ok()) return config;
  const Status found = Locate(FindPrograms(config.value()), LinesOf(text.str()));
  if (!found.ok()) return found.With(file);
  return config;
}

}  // namespace haven::havend
