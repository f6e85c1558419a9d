/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory of a device model that waits for a guest's state.  It is a private
 * mapping of the backup's image: it shows what the backup writes there, and what
 * is written here changes no image before a whole state was loaded.
 */
#include "qemu/osdep.h"
#include <sys/mman.h>
#include "qapi/error.h"
#include "qapi/qapi-commands-haven.h"
#include "qemu/madvise.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "hw/boards.h"
#include "io/channel-file.h"
#include "migration/qemu-file.h"
#include "migration/savevm.h"
#include "monitor/monitor.h"
#include "sysemu/hostmem.h"
#include "sysemu/runstate.h"
#include "sysemu/sysemu.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

/* Linux, Documentation/admin-guide/mm/pagemap.rst: one entry for each page. */
#define PAGEMAP "/proc/self/pagemap"
#define ENTRY_FILE     (1ULL << 61)     /* of the file, or shared */
#define ENTRY_SWAPPED  (1ULL << 62)
#define ENTRY_PRESENT  (1ULL << 63)
#define ENTRIES_AT_ONCE 65536

static RAMBlock *private_block(Error **errp)
{
    HostMemoryBackend *memdev = current_machine->memdev;
    RAMBlock *block = memdev ? memdev->mr.ram_block : NULL;

    if (!block || block->fd < 0 || qemu_ram_is_shared(block)) {
        error_setg(errp, "haven: the guest's memory is not a private mapping "
                   "of a file; havend starts a device model that has one");
        return NULL;
    }
    return block;
}

static int open_pagemap(Error **errp)
{
    int fd = qemu_open(PAGEMAP, O_RDONLY, errp);

    if (fd < 0) {
        error_prepend(errp, "haven: which memory was written is not known: ");
    }
    return fd;
}

void qmp_haven_incoming_forget(Error **errp)
{
    int advice = enable_mlock ? MADV_DONTNEED_LOCKED : MADV_DONTNEED;
    RAMBlock *block;
    int fd;

    if (!runstate_check(RUN_STATE_INMIGRATE)) {
        error_setg(errp, "haven: this device model does not wait for a guest");
        return;
    }
    block = private_block(errp);
    /* What will be needed later is looked for while there is time. */
    fd = block ? open_pagemap(errp) : -1;
    if (fd < 0) {
        return;
    }
    qemu_close(fd);
    if (madvise(block->host, block->max_length, advice)) {
        error_setg_errno(errp, errno, "haven: what was written to the guest's "
                         "memory cannot be forgotten");
    }
}

/*
 * Not as a migration comes in: nothing is announced, no image is opened for
 * writing, and a load that fails ends no process.
 */
void qmp_haven_incoming_try(const char *fdname, Error **errp)
{
    QIOChannelFile *file;
    QEMUFile *stream;
    int fd, ret;

    if (!runstate_check(RUN_STATE_INMIGRATE)) {
        error_setg(errp, "haven: this device model does not wait for a guest");
        return;
    }
    fd = monitor_get_fd(monitor_cur(), fdname, errp);
    if (fd < 0) {
        return;
    }
    file = qio_channel_file_new_fd(fd);
    stream = qemu_file_new_input(QIO_CHANNEL(file));
    object_unref(OBJECT(file));
    ret = qemu_loadvm_state(stream);
    qemu_fclose(stream);
    if (ret < 0) {
        error_setg(errp, "haven: the guest's state cannot be loaded (%s)",
                   strerror(-ret));
    }
}

/* Writes @bytes of the block from @offset on to its file. */
static bool write_to_file(RAMBlock *block, size_t offset, size_t bytes,
                          Error **errp)
{
    while (bytes) {
        ssize_t now = pwrite(block->fd, block->host + offset, bytes, offset);

        if (now < 0 && errno == EINTR) {
            continue;
        }
        if (now <= 0) {
            error_setg_errno(errp, now ? errno : ENOSPC,
                             "haven: cannot write to the guest's image");
            return false;
        }
        offset += now;
        bytes -= now;
    }
    return true;
}

/* A page of a private mapping that was written is no longer the file's. */
static bool is_written(uint64_t entry)
{
    return (entry & (ENTRY_PRESENT | ENTRY_SWAPPED)) && !(entry & ENTRY_FILE);
}

/* What was written of the @count pages from page @first on. */
static bool copy_piece(RAMBlock *block, size_t first, const uint64_t *entries,
                       size_t count, uint64_t *written_bytes, Error **errp)
{
    size_t page = qemu_real_host_page_size();
    size_t i = 0;

    while (i < count) {
        size_t begin = i;

        while (i < count && is_written(entries[i])) {
            i++;
        }
        if (i == begin) {
            i++;
            continue;
        }
        if (!write_to_file(block, (first + begin) * page, (i - begin) * page,
                           errp)) {
            return false;
        }
        *written_bytes += (i - begin) * page;
    }
    return true;
}

static bool copy_written(RAMBlock *block, int pagemap, uint64_t *written_bytes,
                         Error **errp)
{
    size_t page = qemu_real_host_page_size();
    size_t pages = block->max_length / page;
    uint64_t from = (uintptr_t)block->host / page;
    g_autofree uint64_t *entries = g_new(uint64_t, ENTRIES_AT_ONCE);

    for (size_t at = 0; at < pages; ) {
        size_t wanted = MIN(pages - at, ENTRIES_AT_ONCE) * sizeof(*entries);
        ssize_t got = pread(pagemap, entries, wanted,
                            (from + at) * sizeof(*entries));
        size_t count;

        if (got < (ssize_t)sizeof(*entries)) {
            error_setg_errno(errp, got < 0 ? errno : EIO,
                             "haven: cannot read " PAGEMAP);
            return false;
        }
        count = got / sizeof(*entries);
        if (!copy_piece(block, at, entries, count, written_bytes, errp)) {
            return false;
        }
        at += count;
    }
    return true;
}

/* As ram_block_add() and the memory backend had it. */
static void advise(RAMBlock *block, HostMemoryBackend *memdev)
{
    qemu_madvise(block->host, block->max_length, QEMU_MADV_HUGEPAGE);
    qemu_madvise(block->host, block->max_length, QEMU_MADV_DONTFORK);
    if (memdev->merge) {
        qemu_madvise(block->host, block->max_length, QEMU_MADV_MERGEABLE);
    }
    if (!memdev->dump) {
        qemu_madvise(block->host, block->max_length, QEMU_MADV_DONTDUMP);
    }
}

/* The file is as the mapping now.  Addresses stay, so nobody has to know. */
static bool map_shared(RAMBlock *block, Error **errp)
{
    HostMemoryBackend *memdev = current_machine->memdev;

    if (mmap(block->host, block->max_length, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_FIXED, block->fd, 0) == MAP_FAILED) {
        error_setg_errno(errp, errno, "haven: cannot share the guest's memory");
        return false;
    }
    block->flags |= RAM_SHARED;
    memdev->share = true;
    advise(block, memdev);
    return true;
}

HavenIncomingKept *qmp_haven_incoming_keep(Error **errp)
{
    uint64_t written_bytes = 0;
    HavenIncomingKept *kept;
    RAMBlock *block;
    int pagemap;
    bool ok;

    /* No vCPU and no request may write to the memory on the way. */
    if (runstate_check(RUN_STATE_INMIGRATE) || runstate_is_running()) {
        error_setg(errp, "haven: the guest's memory can be kept between the "
                   "load of its state and cont, at no other time");
        return NULL;
    }
    block = private_block(errp);
    pagemap = block ? open_pagemap(errp) : -1;
    if (pagemap < 0) {
        return NULL;
    }
    ok = copy_written(block, pagemap, &written_bytes, errp) &&
        map_shared(block, errp);
    qemu_close(pagemap);
    if (!ok) {
        return NULL;
    }
    kept = g_new0(HavenIncomingKept, 1);
    kept->written_bytes = written_bytes;
    return kept;
}
