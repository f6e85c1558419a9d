# SPDX-License-Identifier: GPL-2.0-or-later
# Built on demand by scripts/bench memrep: needs a QEMU source folder, whose
# XBZRLE encoder it links as it is there.
EXTRA_PROGRAMS += tests/bench/memrep_bench
tests_bench_memrep_bench_SOURCES = \
	tests/bench/memrep_bench.cc \
	tests/bench/memrep_measure.cc tests/bench/memrep_measure.h \
	tests/bench/memrep_pages.cc tests/bench/memrep_pages.h \
	tests/bench/shim/cutils.c \
	tests/bench/shim/qemu/cutils.h \
	tests/bench/shim/qemu/osdep.h
tests_bench_memrep_bench_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/bench/shim -I$(QEMU_SRC)/migration
tests_bench_memrep_bench_LDADD = tests/bench/xbzrle.o libhavenengine.la $(GLIB_LIBS)
# Built on demand by scripts/bench many-guests.
EXTRA_PROGRAMS += tests/bench/many_guests
tests_bench_many_guests_SOURCES = tests/bench/many_guests.cc tests/unit/fake_clock.cc tests/unit/session_fakes.cc
tests_bench_many_guests_LDADD = libhavenqmp.la libhavenengine.la $(JSON_GLIB_LIBS) $(GLIB_LIBS)
EXTRA_DIST += tests/bench/servers tests/bench/ablation.py tests/bench/ask_fio.py \
	tests/bench/ask_kvd.py tests/bench/ask_servers.py tests/bench/bulk.py \
	tests/bench/client_program.py tests/bench/disk.py tests/bench/embedded.py tests/bench/encoder.py \
	tests/bench/encoder_xen.py tests/bench/kv_client.py tests/bench/load.py tests/bench/long_link.c \
	tests/bench/long_link.py tests/bench/mode_failovers.py tests/bench/mode_loads.py \
	tests/bench/mode_rows.py tests/bench/mode_targets.py tests/bench/modes.py \
	tests/bench/modes_table.py tests/bench/modes_xen.py \
	tests/bench/page_copies.py tests/bench/page_copy.c tests/bench/ping.py tests/bench/plot.py \
	tests/bench/plot_modes.py tests/bench/prediction.py tests/bench/report.py \
	tests/bench/server_loads.py tests/bench/setting.py tests/bench/stock.py tests/bench/svg.py \
	tests/bench/xen_testbed.py
CLEANFILES += tests/bench/xbzrle.o tests/bench/memrep_bench tests/bench/many_guests

tests/bench/xbzrle.o: $(QEMU_SRC)/migration/xbzrle.c
	$(AM_V_CC)$(MKDIR_P) tests/bench && \
	$(CC) $(GLIB_CFLAGS) -I$(top_srcdir)/tests/bench/shim -I$(QEMU_SRC)/migration $(CFLAGS) -c $< -o $@
