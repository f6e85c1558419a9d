# see HACKING
EXTRA_DIST += qemu-patches/7.2
