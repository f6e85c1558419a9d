# Everything below capi is one convenience library; the direction of
# dependence between the folders is checked by tests/unit/include-direction.
noinst_LTLIBRARIES += libhavenengine.la
libhavenengine_la_LIBADD = $(GLIB_LIBS) $(ZLIB_LIBS)
libhavenengine_la_SOURCES = \
	core/assert.cc core/assert.h \
	core/bytes.cc core/bytes.h \
	core/clock.cc core/clock.h \
	core/crc32c.cc core/crc32c.h \
	core/epoch.h \
	core/failpoint.cc core/failpoint.h \
	core/guarded.cc core/guarded.h \
	core/host_boot.cc core/host_boot.h \
	core/lineage.cc core/lineage.h \
	core/link.cc core/link.h \
	core/random_token.cc core/random_token.h \
	core/records.cc core/records.h \
	core/room.h \
	core/scheduler.h \
	core/status.cc core/status.h \
	core/tcp.cc core/tcp.h \
	core/threads.cc core/threads.h \
	core/transport.h \
	core/wire.h
