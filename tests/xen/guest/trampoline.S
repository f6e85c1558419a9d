/* SPDX-License-Identifier: GPL-2.0-or-later
 * Enters an uncompressed x86-64 Linux from the 32-bit entry of the boot protocol:
 * %esi is boot_params, and stays so. The kernel, this code and boot_params are below
 * 1 GiB, which is mapped onto itself. The kernel's entry wants no more: it loads
 * its own descriptor tables. */
        .code32
        .globl _start
_start:
        cli
        /* QEMU's option ROM overwrites what the setup header says of the initrd. */
        movl    $INITRD_START, 0x218(%esi)
        movl    $INITRD_BYTES, 0x21c(%esi)
        lgdt    gdt_pointer
        movl    %cr4, %eax
        orl     $0x20, %eax             /* PAE */
        movl    %eax, %cr4
        movl    $pml4, %eax
        movl    %eax, %cr3
        movl    $0xc0000080, %ecx       /* EFER */
        rdmsr
        orl     $0x100, %eax            /* LME */
        wrmsr
        movl    %cr0, %eax
        orl     $0x80000001, %eax       /* PG, PE */
        movl    %eax, %cr0
        ljmp    $0x10, $long_mode
        .code64
long_mode:
        movl    $0x18, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    %esi, %esi
        movl    $KERNEL_ENTRY, %eax
        jmp     *%rax

        .balign 8
gdt:    .quad   0, 0
        .quad   0x00af9a000000ffff      /* 0x10: 64-bit code */
        .quad   0x00cf92000000ffff      /* 0x18: data */
gdt_pointer:
        .word   gdt_pointer - gdt - 1
        .long   gdt

        .balign 4096
pml4:   .quad   pdpt + 7
        .fill   511, 8, 0
pdpt:   .quad   pd + 7
        .fill   511, 8, 0
pd:     .set    at, 0
        .rept   512
        .quad   at + 0x87               /* 2 MiB page */
        .set    at, at + 0x200000
        .endr
