# SPDX-License-Identifier: GPL-2.0-or-later
if HAVE_CPPUTEST
check_PROGRAMS += tests/unit/unit_tests
TESTS += tests/unit/unit_tests
endif
tests_unit_unit_tests_CPPFLAGS = $(AM_CPPFLAGS) $(CPPUTEST_CFLAGS)
tests_unit_unit_tests_LDADD = libhavenqmp.la libhavenengine.la $(CPPUTEST_LIBS) $(JSON_GLIB_LIBS) $(GLIB_LIBS)
tests_unit_unit_tests_SOURCES = \
	tests/unit/main.cc \
	tests/unit/blkrep_dirty_map_test.cc \
	tests/unit/blkrep_disk_bond_test.cc \
	tests/unit/blkrep_disk_content_test.cc \
	tests/unit/blkrep_disk_replicator_test.cc \
	tests/unit/blkrep_disk_use_test.cc \
	tests/unit/blkrep_image_lock_test.cc \
	tests/unit/blkrep_guest_record_test.cc \
	tests/unit/blkrep_journal_forged_test.cc \
	tests/unit/blkrep_journal_format_test.cc \
	tests/unit/blkrep_journal_model_test.cc \
	tests/unit/blkrep_journal_recovery_test.cc \
	tests/unit/blkrep_journal_sync_test.cc \
	tests/unit/blkrep_journal_test.cc \
	tests/unit/blkrep_loop_device.h \
	tests/unit/blkrep_replica_device_test.cc \
	tests/unit/blkrep_replica_test.cc \
	tests/unit/blkrep_support.h \
	tests/unit/core_crc32c_test.cc \
	tests/unit/core_header_test.cc \
	tests/unit/core_link_test.cc \
	tests/unit/core_records_test.cc \
	tests/unit/core_support.h \
	tests/unit/fake_clock.cc \
	tests/unit/fake_clock.h \
	tests/unit/free_port.h \
	tests/unit/memrep_epoch_staging_test.cc \
	tests/unit/memrep_fgbi_cache_test.cc \
	tests/unit/memrep_fgbi_codec_test.cc \
	tests/unit/memrep_fgbi_property_test.cc \
	tests/unit/memrep_fgbi_support.h \
	tests/unit/memrep_page_codec_test.cc \
	tests/unit/memrep_page_snapshot_test.cc \
	tests/unit/memrep_page_store_test.cc \
	tests/unit/memrep_shared_pages_test.cc \
	tests/unit/memrep_sharing_test.cc \
	tests/unit/memrep_worker_pool_test.cc \
	tests/unit/netrep_output_buffer_test.cc \
	tests/unit/os_memory_left_test.cc \
	tests/unit/os_own_limits_test.cc \
	tests/unit/os_own_use_test.cc \
	tests/unit/os_pid_file_test.cc \
	tests/unit/os_recorded_spawn_test.cc \
	tests/unit/os_run_program_test.cc \
	tests/unit/session_after_session_test.cc \
	tests/unit/session_backup_connection_test.cc \
	tests/unit/session_after_loss_test.cc \
	tests/unit/session_backup_guest_test.cc \
	tests/unit/session_cut_test.cc tests/unit/session_early_pages_test.cc \
	tests/unit/session_generations_test.cc \
	tests/unit/session_hand_over_test.cc \
	tests/unit/session_newer_wins_test.cc \
	tests/unit/session_start_gate_test.cc \
	tests/unit/session_fakes.cc \
	tests/unit/session_fakes.h \
	tests/unit/session_pair.h \
	tests/unit/session_memory_need_test.cc \
	tests/unit/session_parts_test.cc \
	tests/unit/session_policy_test.cc \
	tests/unit/session_recent_peak_test.cc \
	tests/unit/session_harvest_policy_test.cc \
	tests/unit/session_primary_test.cc \
	tests/unit/session_machine_test.cc \
	tests/unit/session_end_test.cc \
	tests/unit/session_trial_test.cc \
	tests/unit/session_other_machine_test.cc \
	tests/unit/session_outside_test.cc \
	tests/unit/session_recording.h \
	tests/unit/session_sharing_test.cc \
	tests/unit/no_threads.h \
	tests/unit/session_thrown_test.cc \
	tests/unit/session_whole_test.cc

# The C interface, from outside of the shared library.
if HAVE_CPPUTEST
check_PROGRAMS += tests/unit/capi_tests
TESTS += tests/unit/capi_tests
endif
tests_unit_capi_tests_CPPFLAGS = $(AM_CPPFLAGS) $(CPPUTEST_CFLAGS)
tests_unit_capi_tests_LDADD = libhaven.la $(CPPUTEST_LIBS)
tests_unit_capi_tests_SOURCES = tests/unit/main.cc tests/unit/capi_session_test.cc

# Fuzz targets: replayed over their committed corpora by every make check, and
# programs of libFuzzer with --enable-fuzzing (CXX=clang++).
fuzz_programs = \
	tests/fuzz/guest_record_fuzz \
	tests/fuzz/header_fuzz \
	tests/fuzz/journal_fuzz \
	tests/fuzz/pages_fuzz \
	tests/fuzz/record_fuzz \
	tests/fuzz/session_fuzz
check_PROGRAMS += $(fuzz_programs) tests/fuzz/make_corpus
if FUZZING
fuzz_driver =
fuzz_flags = -fsanitize=fuzzer
else
fuzz_driver = tests/fuzz/replay_main.cc
fuzz_flags =
endif
tests_fuzz_guest_record_fuzz_SOURCES = tests/fuzz/guest_record_fuzz.cc $(fuzz_driver)
tests_fuzz_guest_record_fuzz_LDADD = libhavenengine.la
tests_fuzz_guest_record_fuzz_LDFLAGS = $(AM_LDFLAGS) $(fuzz_flags)
tests_fuzz_header_fuzz_SOURCES = tests/fuzz/header_fuzz.cc $(fuzz_driver)
tests_fuzz_header_fuzz_LDADD = libhavenengine.la
tests_fuzz_header_fuzz_LDFLAGS = $(AM_LDFLAGS) $(fuzz_flags)
tests_fuzz_journal_fuzz_SOURCES = tests/fuzz/journal_fuzz.cc $(fuzz_driver)
tests_fuzz_journal_fuzz_LDADD = libhavenengine.la
tests_fuzz_journal_fuzz_LDFLAGS = $(AM_LDFLAGS) $(fuzz_flags)
tests_fuzz_pages_fuzz_SOURCES = tests/fuzz/pages_fuzz.cc $(fuzz_driver)
tests_fuzz_pages_fuzz_LDADD = libhavenengine.la
tests_fuzz_pages_fuzz_LDFLAGS = $(AM_LDFLAGS) $(fuzz_flags)
tests_fuzz_record_fuzz_SOURCES = tests/fuzz/record_fuzz.cc $(fuzz_driver)
tests_fuzz_record_fuzz_LDADD = libhavenengine.la
tests_fuzz_record_fuzz_LDFLAGS = $(AM_LDFLAGS) $(fuzz_flags)
tests_fuzz_session_fuzz_SOURCES = tests/fuzz/session_fuzz.cc $(fuzz_driver)
tests_fuzz_session_fuzz_LDADD = libhavenengine.la
tests_fuzz_session_fuzz_LDFLAGS = $(AM_LDFLAGS) $(fuzz_flags)
tests_fuzz_make_corpus_SOURCES = tests/fuzz/make_corpus.cc tests/unit/session_fakes.cc
tests_fuzz_make_corpus_LDADD = libhavenengine.la $(GLIB_LIBS)

# The decisions of the model of who may run: tests/model/run.
check_PROGRAMS += tests/model/decision_table
# Of its own flags, so that these objects are not taken for those of the library.
tests_model_decision_table_CPPFLAGS = $(AM_CPPFLAGS)
tests_model_decision_table_SOURCES = tests/model/decision_table.cc session/after_loss.cc core/assert.cc

TESTS += tests/unit/include-direction tests/unit/figures-agree tests/unit/wire-dump-test \
	tests/unit/guest-record-dump-test tests/fuzz/replay-corpora
EXTRA_DIST += tests/unit/include-direction tests/unit/figures-agree tests/unit/haven-wire-dump \
	tests/unit/wire-dump-test tests/fuzz/replay-corpora \
	tests/unit/guest-record-dump tests/unit/guest-record-dump-test \
	tests/fuzz/corpus tests/fuzz/journal_seeds.cc tests/e2e tests/guest tests/xen \
	tests/model/run tests/model/who_may_run.pml
AM_TESTS_ENVIRONMENT = MAKE_CORPUS=tests/fuzz/make_corpus; export MAKE_CORPUS;
