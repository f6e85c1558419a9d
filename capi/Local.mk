lib_LTLIBRARIES += libhaven.la
include_HEADERS += capi/haven.h capi/haven_xen.h capi/haven_xen_pv.h
libhaven_la_SOURCES = \
	capi/haven.cc capi/haven.h capi/haven_figures.h \
	capi/haven_gate.cc \
	capi/haven_xen.cc capi/haven_xen.h \
	capi/haven_xen_pv.cc capi/haven_xen_pv.h \
	capi/report.h capi/state_dir.h
# Added to by xen/Local.mk.
capi_libhaven_cppflags =
libhaven_la_CPPFLAGS = $(AM_CPPFLAGS) $(capi_libhaven_cppflags)
libhaven_la_LIBADD = libhavenxen.la libhavenengine.la
libhaven_la_LDFLAGS = $(AM_LDFLAGS) -version-info $(HAVEN_ABI_INFO) \
	-Wl,--version-script=$(top_srcdir)/capi/haven.map
libhaven_la_DEPENDENCIES = libhavenxen.la libhavenengine.la capi/haven.map
EXTRA_DIST += capi/haven.map

pkgconfigdir = $(libdir)/pkgconfig
pkgconfig_DATA = capi/haven.pc
