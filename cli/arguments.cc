/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/arguments.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>

#include "cli/numbers.h"

namespace haven::cli {

namespace {

Status Invalid(const std::string& message) { return Status(StatusCode::kInvalid, message); }

/// HOST, HOST:PORT, [IPV6] or [IPV6]:PORT.
Status SetPeer(Arguments& arguments, const std::string& value) {
  std::string host = value, port = kDefaultPort;
  if (!value.empty() && value[0] == '[') {
    size_t end = value.find(']');
    if (end == std::string::npos) return Invalid("has no ']': '" + value + "'");
    host = value.substr(1, end - 1);
    std::string rest = value.substr(end + 1);
    if (!rest.empty() && rest[0] != ':') return Invalid("must be [IPV6]:PORT, not '" + value + "'");
    if (!rest.empty()) port = rest.substr(1);
  } else if (size_t colon = value.find(':'); colon != std::string::npos) {
    if (value.find(':', colon + 1) != std::string::npos) {
      return Invalid("needs brackets around an IPv6 address: [" + value + "]");
    }
    host = value.substr(0, colon);
    port = value.substr(colon + 1);
  }
  if (host.empty()) return Invalid("must be HOST or HOST:PORT, not '" + value + "'");
  uint32_t number;
  HAVEN_RETURN_IF_ERROR(SetNumber(number, port, 1, 65535).With("port"));
  arguments.host = host;
  arguments.port = port;
  return Status::Ok();
}

Status SetOneOf(std::string& out, const std::string& value, const std::vector<std::string>& words) {
  if (std::find(words.begin(), words.end(), value) == words.end()) {
    std::string list;
    for (const std::string& word : words) list += (list.empty() ? "" : word == words.back() ? " or " : ", ") + word;
    return Invalid("must be " + list + ", not '" + value + "'");
  }
  out = value;
  return Status::Ok();
}

Status SetEncoder(Arguments& arguments, const std::string& value) {
  return SetOneOf(arguments.encoder.stages, value, {"all", "none", "blocks", "sharing", "compression"});
}

Status SetCompression(Arguments& arguments, const std::string& value) {
  return SetOneOf(arguments.encoder.compression, value, {"adaptive", "zlib", "lz4", "zstd"});
}

Status SetBlockBytes(Arguments& arguments, const std::string& value) {
  std::string checked;
  HAVEN_RETURN_IF_ERROR(SetOneOf(checked, value, {"64", "128", "256"}));
  return SetNumber(arguments.encoder.block_bytes, value, 64, 256);
}

Status SetOnBackupLoss(Arguments& arguments, const std::string& value) {
  return SetOneOf(arguments.on_backup_loss, value, {"continue", "pause"});
}

Status SetOnStart(Arguments& arguments, const std::string& value) {
  return SetOneOf(arguments.on_start, value, {"wait", "arbiter", "start"});
}

/// MIB or PERCENT%.
Status SetCache(Arguments& arguments, const std::string& value) {
  arguments.encoder.cache_mib = arguments.encoder.cache_percent = 0;
  if (value.empty() || value.back() != '%') return SetNumber(arguments.encoder.cache_mib, value, 1, 1u << 20);
  return SetNumber(arguments.encoder.cache_percent, value.substr(0, value.size() - 1), 1, 100).With("percent");
}

Status SetEncoderCpu(Arguments& arguments, const std::string& value) {
  return SetNumber(arguments.encoder.cpu_percent, value, 1, 100);
}

Status SetEncoderThreads(Arguments& arguments, const std::string& value) {
  return SetNumber(arguments.encoder.threads, value, 1, 64);
}

Status SetShare(Arguments& arguments, const std::string&) {
  arguments.encoder.share = true;
  return Status::Ok();
}

Status SetText(std::string& out, const std::string& value) {
  if (value.empty()) return Invalid("must not be empty");
  out = value;
  return Status::Ok();
}

using SetOption = std::function<Status(Arguments&, const std::string& value)>;
struct Option {
  std::string commands;  ///< that take it, each with a blank behind
  bool takes_value;
  SetOption set;
};

SetOption Flag(bool Arguments::*member, bool value) {
  return [=](Arguments& a, const std::string&) { return a.*member = value, Status::Ok(); };
}

SetOption Text(std::string Arguments::*member) {
  return [=](Arguments& a, const std::string& v) { return SetText(a.*member, v); };
}

SetOption NumberOption(uint32_t Arguments::*member, uint32_t least, uint32_t most) {
  return [=](Arguments& a, const std::string& v) { return SetNumber(a.*member, v, least, most); };
}

SetOption ModeOption(const char* name) {
  return [=](Arguments& a, const std::string& v) { return a.mode.Set(name, v); };
}

const std::map<std::string, Option>& Options() {
  static const std::map<std::string, Option> options = {
      {"--to", {"protect ", true, SetPeer}},
      {"--mode", {"protect ", true, ModeOption("mode")}},
      {"--interval", {"protect ", true, ModeOption("interval")}},
      {"--window", {"protect ", true, ModeOption("window")}},
      {"--max-age", {"protect ", true, ModeOption("max-age")}},
      {"--latency", {"protect ", true, ModeOption("latency")}},
      {"--pause", {"protect ", true, ModeOption("pause")}},
      {"--overhead", {"protect ", true, ModeOption("overhead")}},
      {"--in-flight", {"protect ", true, ModeOption("in-flight")}},
      {"--predict", {"protect ", true, ModeOption("predict")}},
      {"--deadline", {"protect ", true, NumberOption(&Arguments::deadline_ms, 50, 60000)}},
      {"--output-limit", {"protect ", true, NumberOption(&Arguments::output_limit_mib, 1, 1u << 20)}},
      {"--lag-limit", {"protect ", true, NumberOption(&Arguments::lag_limit_s, 1, 3600)}},
      {"--on-backup-loss", {"protect ", true, SetOnBackupLoss}},
      {"--arbiter", {"protect ", true, Text(&Arguments::arbiter)}},
      {"--start-wait", {"protect ", true, NumberOption(&Arguments::start_wait_s, 0, 86400)}},
      {"--on-start", {"protect ", true, SetOnStart}},
      {"--encoder", {"protect ", true, SetEncoder}},
      {"--compression", {"protect ", true, SetCompression}},
      {"--block-bytes", {"protect ", true, SetBlockBytes}},
      {"--cache", {"protect ", true, SetCache}},
      {"--encoder-cpu", {"protect ", true, SetEncoderCpu}},
      {"--encoder-threads", {"protect ", true, SetEncoderThreads}},
      {"--share", {"protect ", false, SetShare}},
      {"--timeout", {"protect ", true, NumberOption(&Arguments::timeout_s, 1, 86400)}},
      {"--no-wait", {"protect ", false, Flag(&Arguments::wait, false)}},
      {"--json", {"check status ", false, Flag(&Arguments::json, true)}},
      {"--force", {"failover ", false, Flag(&Arguments::force, true)}},
      {"--planned", {"failover ", false, Flag(&Arguments::planned, true)}},
      {"--cold", {"failover ", false, Flag(&Arguments::cold, true)}},
      {"--yes", {"failover discard adopt ", false, Flag(&Arguments::yes, true)}},
      {"--qmp", {"check protect set status unprotect discard adopt ", true, Text(&Arguments::qmp)}},
      {"--run-dir",
       {"check protect set status failover unprotect discard adopt reload ", true, Text(&Arguments::run_dir)}},
  };
  return options;
}

constexpr const char* kCommands[] = {"check",     "protect", "set",   "status", "failover",
                                     "unprotect", "discard", "adopt", "reload"};

bool IsCommand(const std::string& word) {
  return std::find(std::begin(kCommands), std::end(kCommands), word) != std::end(kCommands);
}

std::string CommandList() {
  std::string list;
  for (const char* command : kCommands) list += (list.empty() ? "" : ", ") + std::string(command);
  return list;
}

/// KEY=VALUE of haven set.
Status ParseSetting(const std::string& word, Arguments& arguments) {
  const size_t equals = word.find('=');
  const std::string name = word.substr(0, equals);
  const auto& names = ModeArguments::Names();
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    std::string list;
    for (const std::string& one : names) list += (list.empty() ? "" : ", ") + one;
    return Invalid("'" + word + "' is no SETTING=VALUE; settings are " + list);
  }
  arguments.settings = true;
  return arguments.mode.Set(name, word.substr(equals + 1)).With(name);
}

/// Handles the option at words[at], and moves `at` to its last word.
Status ParseOption(const std::vector<std::string>& words, size_t& at, Arguments& arguments) {
  std::string name = words[at], value;
  size_t equals = name.find('=');
  bool attached = equals != std::string::npos;
  if (attached) {
    value = name.substr(equals + 1);
    name.resize(equals);
  }
  auto found = Options().find(name);
  if (found == Options().end() || found->second.commands.find(arguments.command + " ") == std::string::npos) {
    return Invalid("haven " + arguments.command + " has no option " + name);
  }
  const Option& option = found->second;
  if (!option.takes_value && attached) return Invalid(name + " takes no value");
  if (option.takes_value && !attached) {
    if (at + 1 == words.size()) return Invalid(name + " needs a value");
    value = words[++at];
  }
  return option.set(arguments, value).With(name);
}

Status CheckGuest(const Arguments& arguments) {
  if (arguments.guest.find('/') != std::string::npos || arguments.guest == "." || arguments.guest == "..") {
    return Invalid("'" + arguments.guest + "' is not the name of a guest");
  }
  if (arguments.command == "reload") {
    return arguments.guest.empty() ? Status::Ok() : Invalid("haven reload takes no guest: it is about all of them");
  }
  if (arguments.guest.empty() && arguments.command != "status") {
    return Invalid("haven " + arguments.command + " needs the name of a guest");
  }
  if (arguments.command == "protect" && arguments.host.empty()) {
    return Invalid("haven protect needs --to HOST[:PORT], the host that runs havend");
  }
  if (arguments.command == "set" && !arguments.settings) {
    return Invalid("haven set needs what is to be set, such as mode=adaptive");
  }
  if (arguments.cold && arguments.planned) return Invalid("--cold and --planned exclude each other");
  if (arguments.planned && arguments.force) return Invalid("--planned and --force exclude each other");
  return Status::Ok();
}

}  // namespace

void ResolveDomid(Arguments& arguments) {
  const std::string& guest = arguments.guest;
  if (guest.empty() || guest.find_first_not_of("0123456789") != std::string::npos || !arguments.qmp.empty()) return;
  std::error_code error;
  if (std::filesystem::exists(arguments.QmpPath(), error)) return;  // its name is a number
  auto target = std::filesystem::read_symlink(arguments.run_dir + "/by-domid/" + guest, error);
  if (!error) arguments.guest = target.stem().string();
}

Result<Arguments> ParseArguments(const std::vector<std::string>& words, const char* environment_run_dir) {
  Arguments arguments;
  bool given = environment_run_dir != nullptr && *environment_run_dir != '\0';
  arguments.run_dir = given ? environment_run_dir : "/run/haven";
  if (words.empty()) return Invalid("no command is given (" + CommandList() + ")");
  bool options_end = false;
  for (size_t at = 0; at < words.size(); at++) {
    const std::string& word = words[at];
    if (!options_end && (word == "--help" || word == "-h")) {
      arguments.help = true;
      return arguments;
    }
    if (at == 0) {
      if (word == "--version" || word == "-V") {
        arguments.version = true;
        return arguments;
      }
      if (!IsCommand(word)) {
        return Invalid("'" + word + "' is no command (" + CommandList() + ")");
      }
      arguments.command = word;
    } else if (!options_end && word == "--") {
      options_end = true;
    } else if (!options_end && word.size() > 1 && word[0] == '-') {
      HAVEN_RETURN_IF_ERROR(ParseOption(words, at, arguments));
    } else if (arguments.command == "set" && !options_end && word.find('=') != std::string::npos) {
      HAVEN_RETURN_IF_ERROR(ParseSetting(word, arguments));
    } else if (arguments.guest.empty() && !word.empty()) {
      arguments.guest = word;
    } else {
      return Invalid("'" + word + "' is one argument too many");
    }
  }
  HAVEN_RETURN_IF_ERROR(CheckGuest(arguments));
  return arguments;
}

}  // namespace haven::cli
