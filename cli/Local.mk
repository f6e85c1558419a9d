# The haven command. All but main() is a library, for the tests.
noinst_LTLIBRARIES += libhavencli.la
libhavencli_la_LIBADD = libhavenqmp.la libhavenengine.la $(JSON_GLIB_LIBS) $(GLIB_LIBS)
libhavencli_la_SOURCES = \
	cli/arguments.cc cli/arguments.h \
	cli/check.cc \
	cli/commands.h \
	cli/decide.cc \
	cli/failover.cc \
	cli/unprotect.cc \
	cli/format.cc cli/format.h \
	cli/guest_query.cc cli/guest_query.h \
	cli/help.cc \
	cli/mode_arguments.cc cli/mode_arguments.h \
	cli/numbers.h \
	cli/protect.cc \
	cli/reload.cc \
	cli/set.cc \
	cli/status.cc

bin_PROGRAMS += cli/haven
cli_haven_SOURCES = cli/main.cc
cli_haven_LDADD = libhavencli.la

dist_man_MANS += docs/man/haven.1
