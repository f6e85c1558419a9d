# What the operating system offers, each mechanism once: a part of the engine's library.
libhavenengine_la_SOURCES += \
	os/durable_file.cc os/durable_file.h \
	os/files.cc os/files.h \
	os/interrupt.cc os/interrupt.h \
	os/kernel_files.cc os/kernel_files.h \
	os/memory_left.cc os/memory_left.h \
	os/own_limits.cc os/own_limits.h \
	os/own_use.cc os/own_use.h \
	os/pid_file.cc os/pid_file.h \
	os/pipe.cc os/pipe.h \
	os/polling.cc os/polling.h \
	os/process.cc os/process.h \
	os/recorded_spawn.cc os/recorded_spawn.h \
	os/run_program.cc os/run_program.h \
	os/scoped_fd.h \
	os/spawn_program.cc os/spawn_program.h \
	os/sync_folder.cc os/sync_folder.h \
	os/write_all.cc os/write_all.h
