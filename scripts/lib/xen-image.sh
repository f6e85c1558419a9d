# SPDX-License-Identifier: GPL-2.0-or-later
# What the Xen testbed boots: hypervisor, dom0's kernel, initrd and root disk, and the
# test guest as a Xen guest. All from Debian's packages, all in .cache/xen.
# shellcheck shell=bash

XEN=$CACHE/xen
XEN_VERSION=4.17
XEN_PACKAGES=$ROOT/scripts/lib/xen-packages
DOM0_FILES=$ROOT/tests/xen/dom0

dom0_boot_modules=(virtio_pci virtio_blk crc32c_generic ext4)
dom0_modules=(virtio_net xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xenfs xen-netback xen-blkback
  tun bridge loop sch_plug sch_netem sch_tbf sch_prio ifb act_mirred cls_matchall cls_u32 sch_ingress
  xen-pciback nbd veth dm-mod)
guest_modules=(ata_piix sd_mod virtio_blk xen-blkfront xen-netfront virtio_pci virtio_net e1000 crc32c_generic ext4)

# xen_kernel: sets kernel_image, kernel_release, module_root.
xen_kernel() {
  fetch_kernel
  kernel_image=$(find "$KERNEL_DIR/root/boot" -name 'vmlinuz-*' | sort -V | tail -n 1)
  kernel_release=${kernel_image##*/vmlinuz-}
  module_root=$KERNEL_DIR/root/lib/modules/$kernel_release
}

xen_hypervisor() {
  [ -e "$XEN/xen" ] && return 0
  local work=$XEN/hypervisor.new
  rm -rf "$work"
  mkdir -p "$work"
  (cd "$work" && apt-get download "xen-hypervisor-$XEN_VERSION-amd64" && dpkg -x ./*.deb .)
  gunzip -c "$work/boot/xen-$XEN_VERSION-amd64.gz" >"$XEN/xen.new"
  mv "$XEN/xen.new" "$XEN/xen"
  rm -rf "$work"
}

# The root file system as packages leave it: two minutes, only when the list changes.
xen_base() {
  newer "$XEN/base.done" "$XEN_PACKAGES" && return 0
  local packages
  packages=$(grep -vE '^(#|$)' "$XEN_PACKAGES" | paste -sd,)
  as_root rm -rf "$XEN/base"
  debian_mirror deb >"$XEN/sources.list"
  [ -s "$XEN/sources.list" ] || {
    echo "apt has no Debian mirror configured that dom0's packages could come from" >&2
    return 1
  }
  as_root mmdebstrap --variant=apt --mode=root --aptopt='Apt::Install-Recommends "false"' \
    '--dpkgopt=path-exclude=/usr/share/man/*' '--dpkgopt=path-exclude=/usr/share/doc/*' \
    '--dpkgopt=path-exclude=/usr/share/locale/*' --include="$packages" \
    bookworm "$XEN/base" - <"$XEN/sources.list"
  touch "$XEN/base.done"
}

# dom0's root disk: packages, modules, the testbed's own files.
xen_root_disk() {
  newer "$XEN/dom0.img" "$XEN/base.done" "$DOM0_FILES"/dom0-* && return 0
  local modules=$XEN/base/lib/modules/$kernel_release files
  mapfile -t files < <(module_closure "$module_root" "${dom0_boot_modules[@]}" "${dom0_modules[@]}")
  as_root rm -rf "$XEN/base/lib/modules"
  as_root mkdir -p "$modules/kernel"
  as_root install -m 644 "${files[@]}" "$modules/kernel"
  as_root cp "$module_root"/modules.{builtin,builtin.modinfo,order} "$modules"
  as_root depmod -b "$XEN/base" "$kernel_release"
  as_root install -m 755 "$DOM0_FILES"/dom0-* "$XEN/base/usr/local/sbin"
  rm -f "$XEN/dom0.img.new"
  truncate -s 1G "$XEN/dom0.img.new"
  as_root mke2fs -q -F -t ext4 -O ^has_journal -m 0 -d "$XEN/base" "$XEN/dom0.img.new"
  mv "$XEN/dom0.img.new" "$XEN/dom0.img"
}

xen_initrd() {
  cp -u "$kernel_image" "$XEN/vmlinuz"
  newer "$XEN/initrd" "$XEN/base.done" "$DOM0_FILES/initrd-init" && return 0
  local tree=$XEN/initrd.tree files applet
  rm -rf "$tree"
  mkdir -p "$tree"/{bin,dev,root}
  cp "$(command -v busybox)" "$tree/bin/busybox"
  for applet in sh mount insmod switch_root; do
    ln -s busybox "$tree/bin/$applet"
  done
  install -m 755 "$DOM0_FILES/initrd-init" "$tree/init"
  mapfile -t files < <(module_closure "$module_root" "${dom0_boot_modules[@]}")
  pack_modules "$tree/modules" "${files[@]}"
  pack_initramfs "$tree" >"$XEN/initrd.new"
  mv "$XEN/initrd.new" "$XEN/initrd"
  rm -rf "$tree"
}

# The test guest's initramfs with drivers for what Xen gives it, and
# its kernel in a form that boots quickly there.
xen_guest() {
  local base=$CACHE/guest/initramfs out=$XEN/guest tree=$XEN/guest.tree files
  newer "$out/kernel" "$base" "$ROOT"/tests/xen/guest/* "$ROOT"/scripts/lib/xen-* && return 0
  rm -rf "$out"
  mkdir -p "$out"
  rm -rf "$tree"
  mkdir -p "$tree"
  (cd "$tree" && busybox cpio -i -d <"$base" 2>/dev/null)
  rm -rf "$tree/modules"
  strip --strip-all "$tree/bin/busybox" "$tree/bin/kvd"
  mapfile -t files < <(module_closure "$module_root" "${guest_modules[@]}")
  pack_modules "$tree/modules" "${files[@]}"
  pack_initramfs "$tree" >"$out.initramfs"
  python3 "$ROOT/scripts/lib/xen-guest-boot.py" "$CACHE/guest/vmlinux" "$kernel_image" \
    "$out.initramfs" "$ROOT/tests/xen/guest/trampoline.S" "$out"
  rm -rf "$tree" "$out.initramfs"
}
