# A client of QEMU's monitor, for havend and the haven command.
noinst_LTLIBRARIES += libhavenqmp.la
libhavenqmp_la_LIBADD = libhavenengine.la $(JSON_GLIB_LIBS) $(GLIB_LIBS)
libhavenqmp_la_SOURCES = \
	qmp/client.cc qmp/client.h \
	qmp/json.cc qmp/json.h \
	qmp/line_socket.cc qmp/line_socket.h
