# SPDX-License-Identifier: GPL-2.0-or-later
if HAVE_CPPUTEST
check_PROGRAMS += tests/unit/unit_tests
TESTS += tests/unit/unit_tests
endif
tests_unit_unit_tests_CPPFLAGS = $(AM_CPPFLAGS) $(CPPUTEST_CFLAGS)
tests_unit_unit_tests_LDADD = libhavenqmp.la libhavenengine.la $(CPPUTEST_LIBS) $(JSON_GLIB_LIBS) $(GLIB_LIBS)
tests_unit_unit_tests_SOURCES = \
	tests/unit/main.cc \
	tests/unit/blkrep_support.h \
	tests/unit/blkrep_dirty_map_test.cc \
	tests/unit/blkrep_journal_forged_test.cc \
	tests/unit/blkrep_journal_format_test.cc \
	tests/unit/blkrep_journal_model_test.cc \
	tests/unit/blkrep_journal_recovery_test.cc \
	tests/unit/blkrep_journal_test.cc \
	tests/unit/blkrep_replica_test.cc \
	tests/unit/core_crc32c_test.cc \
	tests/unit/core_header_test.cc \
	tests/unit/core_records_test.cc \
	tests/unit/core_support.h \
	tests/unit/memrep_fgbi_property_test.cc \
	tests/unit/memrep_fgbi_support.h
