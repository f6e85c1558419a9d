/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory for HAVEN: RAM blocks as regions, the migration dirty bitmap
 * as the set of written pages.
 *
 * cpu_physical_memory_sync_dirty_bitmap() is not used: in this version its fast
 * path clears bits without arming TCG's TLB again, so that later writes to the
 * same pages would go unseen.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/rcu.h"
#include "cpu.h"
#include "exec/exec-all.h"
#include "exec/memory.h"
#include "exec/ram_addr.h"
#include "exec/ramlist.h"
#include "hw/core/cpu.h"
#include "migration/ram.h"
#include "sysemu/tcg.h"
#include "sysemu/xen.h"
#include "haven-int.h"
#include "haven-xen.h"

struct HavenMemory {
    RAMBlock **blocks;
    struct haven_region *regions;
    size_t count;
    size_t last_harvested;      /* SIZE_MAX: the sweep has not begun */
    bool logging;
    bool valid;
    RAMBlockNotifier notifier;
    HavenDomain *domain;        /* under Xen: it does the work */
};

static void block_resized(RAMBlockNotifier *n, void *host, size_t old_size,
                          size_t new_size)
{
    HavenMemory *mem = container_of(n, HavenMemory, notifier);

    for (size_t i = 0; i < mem->count; i++) {
        if (mem->regions[i].host == host) {
            mem->valid = false;
            warn_report("haven: memory block %s changed its size from %zu to "
                        "%zu bytes; protect the guest again",
                        mem->regions[i].name, old_size, new_size);
        }
    }
}

static bool add_block(GPtrArray *blocks, RAMBlock *block, Error **errp)
{
    if (!QEMU_IS_ALIGNED(block->used_length, TARGET_PAGE_SIZE) ||
        qemu_ram_pagesize(block) % TARGET_PAGE_SIZE) {
        error_setg(errp, "haven: memory block %s is not made of whole pages",
                   block->idstr);
        return false;
    }
    /* Harvesting copies whole words of the bitmap. */
    assert(QEMU_IS_ALIGNED(block->offset, BITS_PER_LONG * TARGET_PAGE_SIZE));
    g_ptr_array_add(blocks, block);
    return true;
}

/* The blocks of a Xen guest have no memory of their own. */
static HavenMemory *domain_memory_new(Error **errp)
{
    struct haven_region region;
    HavenDomain *domain = haven_domain_new(&region, errp);
    HavenMemory *mem;

    if (!domain) {
        return NULL;
    }
    mem = g_new0(HavenMemory, 1);
    mem->domain = domain;
    mem->count = 1;
    mem->regions = g_new0(struct haven_region, 1);
    mem->regions[0] = region;
    mem->valid = true;
    return mem;
}

HavenMemory *haven_memory_new(Error **errp)
{
    g_autoptr(GPtrArray) blocks = g_ptr_array_new();
    HavenMemory *mem;
    RAMBlock *block;

    QEMU_BUILD_BUG_ON(sizeof(unsigned long) != sizeof(uint64_t));
    if (TARGET_PAGE_SIZE != 4096) {
        error_setg(errp, "haven: guest pages of %d bytes are not supported",
                   (int)TARGET_PAGE_SIZE);
        return NULL;
    }
    if (xen_enabled()) {
        return domain_memory_new(errp);
    }
    WITH_RCU_READ_LOCK_GUARD() {
        RAMBLOCK_FOREACH_MIGRATABLE(block) {
            if (block->used_length && !add_block(blocks, block, errp)) {
                return NULL;
            }
        }
    }

    mem = g_new0(HavenMemory, 1);
    mem->count = blocks->len;
    mem->blocks = g_new0(RAMBlock *, mem->count);
    mem->regions = g_new0(struct haven_region, mem->count);
    for (size_t i = 0; i < mem->count; i++) {
        block = g_ptr_array_index(blocks, i);
        memory_region_ref(block->mr);
        mem->blocks[i] = block;
        mem->regions[i] = (struct haven_region) {
            .name = block->idstr,
            .host = block->host,
            .bytes = block->used_length,
        };
    }
    mem->last_harvested = SIZE_MAX;
    mem->valid = true;
    mem->notifier.ram_block_resized = block_resized;
    ram_block_notifier_add(&mem->notifier);
    return mem;
}

void haven_memory_free(HavenMemory *mem)
{
    if (!mem) {
        return;
    }
    haven_memory_log(mem, false);
    if (mem->domain) {
        haven_domain_free(mem->domain);
    } else {
        ram_block_notifier_remove(&mem->notifier);
        for (size_t i = 0; i < mem->count; i++) {
            memory_region_unref(mem->blocks[i]->mr);
        }
    }
    g_free(mem->blocks);
    g_free(mem->regions);
    g_free(mem);
}

size_t haven_memory_regions(HavenMemory *mem, struct haven_region **regions)
{
    *regions = mem->regions;
    return mem->count;
}

bool haven_memory_valid(HavenMemory *mem)
{
    return mem->valid;
}

HavenDomain *haven_memory_domain(HavenMemory *mem)
{
    return mem->domain;
}

void haven_memory_new_sweep(HavenMemory *mem)
{
    mem->last_harvested = SIZE_MAX;
}

void haven_memory_log(HavenMemory *mem, bool on)
{
    if (on == mem->logging) {
        return;
    }
    mem->logging = on;
    if (mem->domain) {
        mem->logging = haven_domain_log(mem->domain, on) && on;
        return;
    }
    if (!on) {
        memory_global_dirty_log_stop(GLOBAL_DIRTY_MIGRATION);
        return;
    }
    memory_global_dirty_log_start(GLOBAL_DIRTY_MIGRATION);
    for (size_t i = 0; i < mem->count; i++) {
        cpu_physical_memory_set_dirty_range(mem->blocks[i]->offset,
                                            mem->regions[i].bytes,
                                            1 << DIRTY_MEMORY_MIGRATION);
    }
    haven_memory_new_sweep(mem);
}

/* Moves the bits of @pages pages from the bitmap at @first; true if any. */
static bool take_dirty_bits(unsigned long first, unsigned long pages,
                            uint64_t *bitmap)
{
    unsigned long *const *blocks =
        qatomic_rcu_read(&ram_list.dirty_memory[DIRTY_MEMORY_MIGRATION])->blocks;
    unsigned long block = first / DIRTY_MEMORY_BLOCK_SIZE;
    unsigned long word = BIT_WORD(first % DIRTY_MEMORY_BLOCK_SIZE);
    unsigned long words = BITS_TO_LONGS(pages);
    bool any = false;

    for (unsigned long i = 0; i < words; i++) {
        if (blocks[block][word]) {
            bitmap[i] |= qatomic_xchg(&blocks[block][word], 0);
            any = true;
        }
        if (++word == BITS_TO_LONGS(DIRTY_MEMORY_BLOCK_SIZE)) {
            word = 0;
            block++;
        }
    }
    /* The block may be larger than its used part. */
    if (pages % BITS_PER_LONG) {
        bitmap[words - 1] &= BITMAP_LAST_WORD_MASK(pages);
    }
    return any;
}

int haven_memory_harvest(HavenMemory *mem, size_t index, uint64_t *bitmap,
                         size_t words, bool keep)
{
    RAMBlock *block;
    unsigned long pages;
    CPUState *cpu;

    if (index >= mem->count || !mem->logging || !mem->valid) {
        return -EINVAL;
    }
    if (mem->domain) {
        return haven_domain_harvest(mem->domain, bitmap, words, keep);
    }
    block = mem->blocks[index];
    pages = mem->regions[index].bytes >> TARGET_PAGE_BITS;
    if (words < BITS_TO_LONGS(pages)) {
        return -EINVAL;
    }

    /* Accelerators that log by themselves hand over once per sweep. */
    if (mem->last_harvested == SIZE_MAX || index <= mem->last_harvested) {
        memory_global_dirty_log_sync();
    }
    mem->last_harvested = index;

    RCU_READ_LOCK_GUARD();
    if (!take_dirty_bits(block->offset >> TARGET_PAGE_BITS, pages, bitmap)) {
        return 0;
    }
    memory_region_clear_dirty_bitmap(block->mr, 0, mem->regions[index].bytes);
    if (tcg_enabled()) {
        CPU_FOREACH(cpu) {
            tlb_reset_dirty(cpu, (uintptr_t)block->host,
                            mem->regions[index].bytes);
        }
    }
    return 0;
}
