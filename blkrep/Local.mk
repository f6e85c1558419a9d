libhavenengine_la_SOURCES += \
	blkrep/dirty_map.cc blkrep/dirty_map.h \
	blkrep/disk_replicator.cc blkrep/disk_replicator.h \
	blkrep/journal.cc blkrep/journal.h \
	blkrep/journal_format.cc blkrep/journal_format.h \
	blkrep/journal_recovery.cc blkrep/journal_recovery.h \
	blkrep/journal_segment.cc blkrep/journal_segment.h \
	blkrep/journal_state.cc blkrep/journal_state.h \
	blkrep/replica.cc blkrep/replica.h \
	blkrep/request.h
