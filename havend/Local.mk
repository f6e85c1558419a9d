# The backup daemon. All but main() is a library, for the tests.
noinst_LTLIBRARIES += libhavend.la
libhavend_la_LIBADD = libhavenqmp.la libhavenxl.la libhavenengine.la $(JSON_GLIB_LIBS) $(GLIB_LIBS)
libhavend_la_SOURCES = \
	havend/config.cc havend/config.h \
	havend/connections.cc havend/connections.h \
	havend/control_socket.cc havend/control_socket.h \
	havend/daemon.cc havend/daemon.h \
	havend/daemonize.cc havend/daemonize.h \
	havend/guest_table.cc havend/guest_table.h \
	havend/incoming_stream.cc havend/incoming_stream.h \
	havend/listener.cc havend/listener.h \
	havend/log.cc havend/log.h \
	havend/qemu_arguments.cc havend/qemu_arguments.h \
	havend/qemu_process.cc havend/qemu_process.h \
	havend/reload.cc havend/reload.h \
	havend/served_guest.cc havend/served_guest.h \
	havend/waiting_qemu.cc havend/waiting_qemu.h

sbin_PROGRAMS += havend/havend
havend_havend_SOURCES = havend/main.cc
havend_havend_LDADD = libhavend.la

dist_man_MANS += docs/man/havend.8 docs/man/havend.conf.5
systemdunitdir = $(prefix)/lib/systemd/system
nodist_systemdunit_DATA = havend/havend.service
EXTRA_DIST += havend/havend.service.in
CLEANFILES += havend/havend.service
dist_doc_DATA = havend/havend.conf.example

havend/havend.service: $(top_srcdir)/havend/havend.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) havend && \
	sed 's|@sbindir@|$(sbindir)|g' $(top_srcdir)/havend/havend.service.in > $@.new && mv $@.new $@

if HAVE_CPPUTEST
check_PROGRAMS += tests/unit/havend_tests
TESTS += tests/unit/havend_tests
endif
tests_unit_havend_tests_CPPFLAGS = $(AM_CPPFLAGS) $(CPPUTEST_CFLAGS)
tests_unit_havend_tests_LDADD = libhavend.la libhavencli.la $(CPPUTEST_LIBS)
tests_unit_havend_tests_SOURCES = \
	tests/unit/main.cc \
	tests/unit/captured_log.h \
	tests/unit/cli_arguments_test.cc \
	tests/unit/cli_format_test.cc \
	tests/unit/cli_guest_query_test.cc \
	tests/unit/fake_clock.cc \
	tests/unit/fake_clock.h \
	tests/unit/havend_config_test.cc \
	tests/unit/havend_connections_test.cc \
	tests/unit/havend_control_socket_test.cc \
	tests/unit/havend_daemon_test.cc \
	tests/unit/havend_incoming_stream_test.cc \
	tests/unit/havend_listener_test.cc \
	tests/unit/havend_qemu_arguments_test.cc \
	tests/unit/havend_qemu_process_test.cc \
	tests/unit/havend_qmp_client_test.cc \
	tests/unit/havend_reload_test.cc \
	tests/unit/havend_xl_domain_config_test.cc \
	tests/unit/havend_xl_libxl_stream_test.cc \
	tests/unit/havend_xl_receiver_test.cc \
	tests/unit/havend_xl_stream_reader_test.cc \
	tests/unit/havend_xl_trial_config_test.cc \
	tests/unit/no_threads.h \
	tests/unit/session_fakes.cc \
	tests/unit/session_fakes.h \
	tests/unit/session_pair.h \
	tests/unit/xen_support.h
EXTRA_DIST += tests/unit/havend_fake_qemu.py tests/unit/havend_fake_xl.py
