libhavenengine_la_LIBADD += $(BLKID_LIBS)
libhavenengine_la_SOURCES += \
	blkrep/blkid_probe.h \
	blkrep/block_device.cc blkrep/block_device.h \
	blkrep/device_name.cc blkrep/device_name.h \
	blkrep/dirty_map.cc blkrep/dirty_map.h \
	blkrep/disk_bond.cc blkrep/disk_bond.h \
	blkrep/disk_content.cc blkrep/disk_content.h \
	blkrep/disk_mark.cc blkrep/disk_mark.h \
	blkrep/disk_peer.cc blkrep/disk_peer.h \
	blkrep/disk_replicator.cc blkrep/disk_replicator.h \
	blkrep/disk_use.cc blkrep/disk_use.h \
	blkrep/guest_record.cc blkrep/guest_record.h \
	blkrep/image_lock.cc blkrep/image_lock.h \
	blkrep/journal.cc blkrep/journal.h \
	blkrep/journal_format.cc blkrep/journal_format.h \
	blkrep/journal_recovery.cc blkrep/journal_recovery.h \
	blkrep/journal_segment.cc blkrep/journal_segment.h \
	blkrep/journal_state.cc blkrep/journal_state.h \
	blkrep/kernel_use.cc blkrep/kernel_use.h \
	blkrep/open_disk.cc blkrep/open_disk.h \
	blkrep/open_files.cc blkrep/open_files.h \
	blkrep/printable.h \
	blkrep/replica.cc blkrep/replica.h \
	blkrep/replica_disk.cc blkrep/replica_disk.h \
	blkrep/request.h \
	blkrep/request_log.cc blkrep/request_log.h
