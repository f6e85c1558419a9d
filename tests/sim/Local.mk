# SPDX-License-Identifier: GPL-2.0-or-later
# The simulator of failures: tests/sim/README.md.
check_PROGRAMS += tests/sim/run
tests_sim_run_LDADD = libhavenengine.la $(GLIB_LIBS)
tests_sim_run_SOURCES = \
	tests/sim/backup_daemon.cc tests/sim/backup_daemon.h \
	tests/sim/checker.cc tests/sim/checker.h \
	tests/sim/client.cc tests/sim/client.h \
	tests/sim/device_model.cc tests/sim/device_model.h \
	tests/sim/device_start.cc \
	tests/sim/director.cc tests/sim/director.h \
	tests/sim/met.cc tests/sim/met.h \
	tests/sim/model_state.cc tests/sim/model_state.h \
	tests/sim/network.cc tests/sim/network.h \
	tests/sim/one_run.cc tests/sim/one_run.h \
	tests/sim/plan.cc tests/sim/plan.h \
	tests/sim/points.cc tests/sim/points.h \
	tests/sim/random.h \
	tests/sim/run.cc \
	tests/sim/scheduler.cc tests/sim/scheduler.h \
	tests/sim/search.cc tests/sim/search.h \
	tests/sim/sim_files.cc tests/sim/sim_files.h \
	tests/sim/switches.cc tests/sim/switches.h \
	tests/sim/trace.h tests/sim/unseen.h \
	tests/sim/watch.cc tests/sim/watch.h \
	tests/sim/world.cc tests/sim/world.h
TESTS += tests/sim/seeds-repeat
EXTRA_DIST += tests/sim/README.md tests/sim/seeds-repeat tests/sim/breaks-are-found \
	tests/sim/under-thread-sanitizer
# It runs for minutes, whatever the rest is built with.
$(tests_sim_run_OBJECTS): override CXXFLAGS += -O1
