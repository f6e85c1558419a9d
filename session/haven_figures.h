/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * haven_figures.h - the figures of a replicated guest, each on one line.
 *
 * Of a primary, PrimaryStatus, struct haven_status and the answer of query-haven are
 * made from this table; of a backup, BackupStatus and havend's answer. `haven status
 * --json` passes the answers on. A new figure is a line here and the code that measures
 * it; qemu/qapi/haven.json and docs/man/haven.1 cannot include this:
 * tests/unit/figures-agree says what they lack.
 *
 * For C and C++, and without includes: it is installed beside haven.h, which brings
 * it to QEMU.
 */
#ifndef HAVEN_FIGURES_H
#define HAVEN_FIGURES_H

/* The members of struct haven_status after its state, in their order; new ones are added
 * at the end only. NUMBER(name, unit, meaning) is a uint64_t; TEXT(name, octets, meaning)
 * ends with a 0. _p50_ and _p99_ are over the last (at most 4096) epochs. */
#define HAVEN_STATUS_MEMBERS(NUMBER, TEXT)                                                                            \
  NUMBER(epoch, number, "last committed epoch")                                                                       \
  NUMBER(sync_done_bytes, bytes, "progress of the first copy")                                                        \
  NUMBER(sync_total_bytes, bytes, "size of the first copy")                                                           \
  NUMBER(epochs, number, "checkpoints taken since the session began")                                                 \
  NUMBER(losses, number, "how often the backup was lost")                                                             \
  NUMBER(pause_p50_us, us, "median of the pause")                                                                     \
  NUMBER(pause_p99_us, us, "99th percentile of the pause")                                                            \
  NUMBER(pause_max_us, us, "the longest pause of the last epochs")                                                    \
  NUMBER(stop_p50_us, us, "median of stopping the vCPUs and draining requests in flight")                             \
  NUMBER(device_p50_us, us, "median of saving device state")                                                          \
  NUMBER(harvest_p50_us, us, "median of reading the dirty bitmap")                                                    \
  NUMBER(copy_p50_us, us, "median of copying the dirty pages")                                                        \
  NUMBER(resume_p50_us, us, "median of letting the vCPUs run again")                                                  \
  NUMBER(stop_p99_us, us, "99th percentile of stopping the vCPUs and draining requests in flight")                    \
  NUMBER(device_p99_us, us, "99th percentile of saving device state")                                                 \
  NUMBER(harvest_p99_us, us, "99th percentile of reading the dirty bitmap")                                           \
  NUMBER(copy_p99_us, us, "99th percentile of copying the dirty pages")                                               \
  NUMBER(resume_p99_us, us, "99th percentile of letting the vCPUs run again")                                         \
  NUMBER(commit_p50_us, us,                                                                                           \
         "median of the time from an epoch's end to its commit on the backup, which is not in the pause")             \
  NUMBER(commit_p99_us, us,                                                                                           \
         "99th percentile of the time from an epoch's end to its commit on the backup, which is not in the pause")    \
  NUMBER(dirty_pages_last, pages, "pages of the last epoch")                                                          \
  NUMBER(dirty_pages_total, pages, "pages of all epochs")                                                             \
  NUMBER(memory_wire_bytes, bytes, "bytes sent for memory and device state")                                          \
  NUMBER(disk_wire_bytes, bytes, "bytes sent for disks")                                                              \
  NUMBER(wire_bytes_last, bytes, "bytes sent for the memory of the last epoch")                                       \
  NUMBER(frames_held, frames, "network frames that wait for a commit now")                                            \
  NUMBER(frames_released, frames, "frames released so far")                                                           \
  NUMBER(frames_dropped, frames, "frames dropped because too many were held")                                         \
  NUMBER(lag_us, us, "age of the oldest output that is not released")                                                 \
  NUMBER(cpu_us, us, "CPU time of the library's own threads")                                                         \
  TEXT(message, 256, "the beginning of reason")                                                                       \
  NUMBER(settle_p50_us, us,                                                                                           \
         "median of letting requests in flight finish while the guest runs on, which comes before the pause")         \
  NUMBER(settle_p99_us, us, "99th percentile of the same")                                                            \
  NUMBER(encoder_unchanged_pages, pages,                                                                              \
         "of the last epoch's pages, those that were written but are as the backup has them")                         \
  NUMBER(encoder_changed_blocks, blocks,                                                                              \
         "blocks of 64 bytes that had changed in the last epoch, of pages that the encoder's cache had")              \
  NUMBER(encoder_bytes_after_blocks, bytes, "what the last epoch's pages come to when only what has changed is sent") \
  NUMBER(encoder_bytes_after_sharing, bytes, "the same after references to equal pages")                              \
  NUMBER(encoder_bytes, bytes, "the same after compression: what was sent for pages")                                 \
  NUMBER(encoder_cache_hits, pages, "pages of the last epoch that the encoder's cache had")                           \
  NUMBER(encoder_cache_misses, pages, "pages of the last epoch that it did not have")                                 \
  NUMBER(encoder_us, us, "time to encode the last epoch, which is not in the pause")                                  \
  NUMBER(encoder_compress_us, us, "of it, for compression")                                                           \
  NUMBER(decode_us, us, "time in which the backup decoded the last epoch")                                            \
  NUMBER(apply_us, us, "time in which the backup committed and applied the epoch before")                             \
  NUMBER(encoder_shared_pages, pages,                                                                                 \
         "of the last epoch's pages, those that were sent as references to pages of other guests")                    \
  TEXT(newer, 16,                                                                                                     \
       "whose copy is newer, as of the last comparison: primary, backup, equal, diverged, unknown; "                  \
       "empty: there was none")                                                                                       \
  TEXT(reason, 1024, "why, for the states that have a reason")                                                        \
  NUMBER(output_p50_us, us, "median of the time for which the first output of an epoch was held")                     \
  NUMBER(output_p99_us, us, "99th percentile of the same")                                                            \
  TEXT(mode, 16, "what ends an epoch: remus, kemari or adaptive")                                                     \
  TEXT(mode_settings, 128, "the settings by which it does")                                                           \
  NUMBER(early_pages_total, pages, "pages that were sent while the guest ran on, before the pause of their epoch")    \
  NUMBER(look_p50_us, us, "median of looking for these pages, for which the guest stands still")                      \
  NUMBER(look_p99_us, us, "99th percentile of the same")                                                              \
  TEXT(run_state, 16, "what the guest does: running, paused, io-error, panicked, watchdog, other or unknown")         \
  NUMBER(output_held_bytes, bytes, "memory that the frames take which wait for a commit now")                         \
  NUMBER(output_limit_bytes, bytes, "its limit: frames that do not fit are dropped")                                  \
  NUMBER(commit_lag_us, us, "age of the oldest checkpoint that is not committed")                                     \
  NUMBER(commit_lag_limit_us, us, "its limit: protection ends there, and begins anew")

/* The figures only. */
#define HAVEN_NO_TEXT(name, octets, meaning)
#define HAVEN_STATUS_FIGURES(NUMBER) HAVEN_STATUS_MEMBERS(NUMBER, HAVEN_NO_TEXT)

/* Of a backup, in the order of havend's answer. The epoch comes before them there. */
#define HAVEN_BACKUP_FIGURES(NUMBER)                                               \
  NUMBER(memory_wire_bytes, bytes, "bytes received for memory and device state")   \
  NUMBER(disk_wire_bytes, bytes, "bytes received for disks")                       \
  NUMBER(journal_bytes, bytes, "size of the journal")                              \
  NUMBER(journal_limit_bytes, bytes, "its limit: the session ends there")          \
  NUMBER(failover_ms, ms, "time from the decision to promote until the guest ran") \
  NUMBER(promoted_epoch, number, "epoch from which the guest runs here")

#endif
