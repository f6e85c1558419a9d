# The backup's stock xl: a library of its own, since a fuzzer needs no more of havend.
noinst_LTLIBRARIES += libhavenxl.la
libhavenxl_la_LIBADD = libhavenxen.la libhavenengine.la $(JSON_GLIB_LIBS) $(GLIB_LIBS)
libhavenxl_la_SOURCES = \
	havend/xl/domain_config.cc havend/xl/domain_config.h \
	havend/xl/json_members.cc havend/xl/json_members.h \
	havend/xl/libxl_stream.cc havend/xl/libxl_stream.h \
	havend/xl/stream_feed.cc havend/xl/stream_feed.h \
	havend/xl/stream_reader.cc havend/xl/stream_reader.h \
	havend/xl/trial_config.cc havend/xl/trial_config.h \
	havend/xl/trial_disks.cc havend/xl/trial_disks.h \
	havend/xl/xl_log.cc havend/xl/xl_log.h \
	havend/xl/xl_receiver.cc havend/xl/xl_receiver.h

check_PROGRAMS += tests/fuzz/xen_state_fuzz
tests_fuzz_xen_state_fuzz_SOURCES = tests/fuzz/xen_state_fuzz.cc $(fuzz_driver)
tests_fuzz_xen_state_fuzz_LDADD = libhavenxl.la libhavenengine.la
tests_fuzz_xen_state_fuzz_LDFLAGS = $(AM_LDFLAGS) $(fuzz_flags)
