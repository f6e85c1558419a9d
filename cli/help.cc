/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/arguments.h"

namespace haven::cli {

namespace {

constexpr char kAll[] =
    "Usage: haven COMMAND [ARGUMENTS]\n"
    "Keeps a copy of a running guest on another host.\n"
    "\n"
    "On the host that runs the guest:\n"
    "  haven check GUEST                say whether it can be protected, and what becomes of each device\n"
    "  haven protect GUEST --to HOST    begin to replicate the guest to HOST\n"
    "  haven set GUEST SETTING=VALUE... when its checkpoints are taken, while it is protected\n"
    "  haven unprotect GUEST            end that\n"
    "On the host that keeps the copy:\n"
    "  haven failover GUEST             run the guest here (--planned: hand it over;\n"
    "                                   --cold: boot it from its replicas)\n"
    "  haven reload                     have havend read its configuration again\n"
    "On both:\n"
    "  haven status [GUEST]             show what is protected, and how well\n"
    "  haven discard GUEST              throw away the copy on this host\n"
    "  haven adopt GUEST                say that this guest is right, and the other copy is not\n"
    "\n"
    "haven COMMAND --help tells more; see also haven(1).\n";

constexpr char kRunDir[] =
    "      --run-dir DIR          where the sockets are (default: environment variable\n"
    "                             HAVEN_RUN_DIR, else /run/haven)\n";

constexpr char kQmp[] = "      --qmp SOCKET           the guest's QMP socket (default: RUN-DIR/GUEST.qmp)\n";

constexpr char kProtect[] =
    "Usage: haven protect GUEST --to HOST[:PORT] [OPTIONS]\n"
    "Replicates a guest that runs here to the havend on HOST (default port 7789), and\n"
    "returns when it is protected. When the backup refuses, says why and undoes it.\n"
    "\n"
    "      --to HOST[:PORT]       the backup; [IPV6]:PORT for an IPv6 address\n"
    "      --mode, --interval, --window, --max-age, --latency, --pause, --overhead,\n"
    "      --in-flight, --predict when checkpoints are taken: see haven set --help\n"
    "      --deadline MS          of silence until the backup counts as lost, 50 to 60000\n"
    "                             (default 1000)\n"
    "      --output-limit MIB     of memory for network output that waits for a commit; what\n"
    "                             does not fit is dropped (default 64)\n"
    "      --lag-limit S          a checkpoint that is not committed after that ends protection,\n"
    "                             which begins anew, 1 to 3600 (default 60)\n"
    "      --on-backup-loss continue|pause\n"
    "                             what the guest does while no backup answers\n"
    "                             (default continue)\n"
    "      --arbiter COMMAND      must exit with 0 before output leaves after the backup\n"
    "                             was lost (default: none)\n"
    "      --start-wait S         when this guest is started again, for how long its backup is\n"
    "                             asked whether that copy is newer (default 60)\n"
    "      --on-start wait|arbiter|start\n"
    "                             what becomes of it if the backup does not answer\n"
    "                             (default arbiter if there is one, else wait)\n"
    "      --encoder all|none|blocks|sharing|compression\n"
    "                             parts of the memory encoder that work (default all)\n"
    "      --compression adaptive|zlib|lz4|zstd\n"
    "                             how memory is compressed (default adaptive)\n"
    "      --block-bytes 64|128|256\n"
    "                             with 128 or 256 whole blocks are sent (default 64)\n"
    "      --cache MIB|PERCENT%   memory of this host for copies of what the backup has\n"
    "                             (default: an eighth of the guest, 16 to 1024 MiB)\n"
    "      --encoder-cpu PERCENT  of one processor for compression, 1 to 100 (default 100)\n"
    "      --encoder-threads N    that encode, and copy large dirty sets in the pause, 1 to 64\n"
    "                             (default: as many as there are processors, up to 4)\n"
    "      --share                share equal pages with other guests of this host that do so\n"
    "                             and that the backup has in the same group\n"
    "      --timeout S            give up when no backup answers for S seconds\n"
    "                             (default 10)\n"
    "      --no-wait              return at once; haven status shows how it goes on\n";

constexpr char kCheck[] =
    "Usage: haven check GUEST [OPTIONS]\n"
    "Says whether a guest that runs here can be protected, and what becomes of its devices\n"
    "then: replicated (a disk), held (a network card, until the commit), saved, not held\n"
    "(what it sends leaves at once), or refused. Changes nothing.\n"
    "\n"
    "      --json                 for programs\n";

constexpr char kSet[] =
    "Usage: haven set GUEST SETTING=VALUE... [OPTIONS]\n"
    "Changes when checkpoints are taken of a guest that is protected, which it stays. What is\n"
    "not said stays as it is. Times are in ms, or with us behind them in us.\n"
    "\n"
    "  mode=remus                 whenever the guest has run for the interval (default)\n"
    "      interval=MS            1 to 60000 (default 50)\n"
    "  mode=kemari                when output waits\n"
    "      window=TIME            from the first output to the checkpoint, to 100 (default 0.5)\n"
    "  mode=adaptive              when output waits, as often as the targets allow\n"
    "      latency=TIME           for how long output may be held, 0.1 to 10000 (default 10)\n"
    "      pause=TIME             the longest pause, 0.1 to 10000 (default 5)\n"
    "      overhead=PERCENT       of its work that the guest may lose by standing still, 1 to 90\n"
    "                             (default 5); this comes before the latency\n"
    "  max-age=MS                 kemari and adaptive: an epoch lasts no longer, 10 to 60000\n"
    "                             (default 1000)\n"
    "  in-flight=N                all: epochs that are sent and not committed, 1 to 8 (default 4)\n"
    "  predict=yes|no             all: large epochs send pages that are not expected to be written\n"
    "                             again before the pause (default yes)\n"
    "\n";

constexpr char kStatus[] =
    "Usage: haven status [GUEST] [OPTIONS]\n"
    "Shows the guests that this host runs under protection, and those it keeps a copy of;\n"
    "of one guest also what became of the memory of its last epoch.\n"
    "\n"
    "      --json                 for programs: {\"guests\":[{\"name\":...},...]}\n";

constexpr char kFailover[] =
    "Usage: haven failover GUEST [OPTIONS]\n"
    "Runs the guest here: from its last committed checkpoint when its primary is lost, or\n"
    "with --planned from where its primary stops it.\n"
    "\n"
    "      --planned              hand the guest over from its primary, which is up: it stops\n"
    "                             there, and nothing is lost\n"
    "      --cold                 boot the guest from its replicas, when the checkpoint is gone\n"
    "                             with havend or its host; says first what that loses\n"
    "      --yes                  with --cold: do not ask\n"
    "      --force                also when the primary still answers; it is told that it\n"
    "                             lost the guest\n";

constexpr char kDiscard[] =
    "Usage: haven discard GUEST [OPTIONS]\n"
    "Throws away what this host has of the guest: on a backup the checkpoint and the replicas,\n"
    "on a primary that is not started or has lost, its disks. They may be overwritten then.\n"
    "Says first what that is.\n"
    "\n"
    "      --yes                  do not ask\n";

constexpr char kAdopt[] =
    "Usage: haven adopt GUEST [OPTIONS]\n"
    "On a primary that is not started, since its backup may be newer: says that this copy\n"
    "counts, and starts it. On a backup: says that the next primary is right, whatever is in\n"
    "the replicas here: they are overwritten, and follow the size of its disks.\n"
    "\n"
    "      --yes                  do not ask\n";

constexpr char kReload[] =
    "Usage: haven reload [OPTIONS]\n"
    "Has havend read its configuration again: guests are added, removed and replaced. A guest\n"
    "that has a session, holds a checkpoint or runs here stays as it is, and is named.\n"
    "\n";

constexpr char kUnprotect[] =
    "Usage: haven unprotect GUEST [OPTIONS]\n"
    "Ends the protection of a guest that runs here. The guest goes on. A backup that does not\n"
    "answer is asked before output that is held leaves, and the arbiter; what is waited for is said.\n"
    "\n";

}  // namespace

std::string HelpText(const std::string& command) {
  if (command == "protect") return std::string(kProtect) + kQmp + kRunDir;
  if (command == "check") return std::string(kCheck) + kQmp + kRunDir;
  if (command == "set") return std::string(kSet) + kQmp + kRunDir;
  if (command == "status") return std::string(kStatus) + kQmp + kRunDir;
  if (command == "discard") return std::string(kDiscard) + kQmp + kRunDir;
  if (command == "adopt") return std::string(kAdopt) + kQmp + kRunDir;
  if (command == "failover") return std::string(kFailover) + kRunDir;
  if (command == "reload") return std::string(kReload) + kRunDir;
  if (command == "unprotect") return std::string(kUnprotect) + kQmp + kRunDir;
  return kAll;
}

}  // namespace haven::cli
