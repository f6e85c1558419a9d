# What the operating system offers, each mechanism once: a part of the engine's library.
libhavenengine_la_SOURCES += \
	os/durable_file.cc os/durable_file.h \
	os/sync_folder.cc os/sync_folder.h \
	os/write_all.cc os/write_all.h
