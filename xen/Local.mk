# Xen: what the device model needs of a domain (linked into libhaven). Only libhavenlibxc needs Xen's libraries and libnl.
noinst_LTLIBRARIES += libhavenxen.la
libhavenxen_la_SOURCES = \
	xen/domain_guard.cc xen/domain_guard.h \
	xen/domain_state.cc xen/domain_state.h \
	xen/frontend_rules.cc xen/frontend_rules.h \
	xen/frontends.cc xen/frontends.h \
	xen/guest_memory.cc xen/guest_memory.h \
	xen/hypervisor.cc xen/hypervisor.h \
	xen/pv_domain.h \
	xen/pv_suspend.cc xen/pv_suspend.h \
	xen/state_saver.cc xen/state_saver.h \
	xen/traffic_control.h \
	xen/vif_plugs.cc xen/vif_plugs.h \
	xen/xen_store.h
if HAVE_XEN
noinst_LTLIBRARIES += libhavenlibxc.la
libhavenlibxc_la_SOURCES = \
	xen/libxc_hypervisor.cc xen/libxc_hypervisor.h \
	xen/libxc_pv_domain.cc \
	xen/libxs_xen_store.cc \
	xen/netlink_traffic_control.cc
libhavenlibxc_la_CPPFLAGS = $(AM_CPPFLAGS) $(XEN_CFLAGS)
# The headers of Xen's libraries use GNU extensions.
libhavenlibxc_la_CXXFLAGS = $(AM_CXXFLAGS) -std=gnu++20
libhavenlibxc_la_LIBADD = $(XEN_LIBS)
libhaven_la_LIBADD += libhavenlibxc.la
libhaven_la_DEPENDENCIES += libhavenlibxc.la
capi_libhaven_cppflags += -DHAVEN_DOMAIN_GUARD='"$(havenlibexecdir)/haven-domain-guard"'

havenlibexecdir = $(libexecdir)/haven
havenlibexec_PROGRAMS = xen/haven-domain-guard xen/haven-vif-bridge
xen_haven_domain_guard_SOURCES = xen/domain_guard_main.cc
xen_haven_domain_guard_LDADD = libhavenlibxc.la libhavenxen.la libhavenengine.la
xen_haven_vif_bridge_SOURCES = xen/vif_bridge_main.cc
xen_haven_vif_bridge_CPPFLAGS = $(AM_CPPFLAGS) $(XEN_CFLAGS)
xen_haven_vif_bridge_CXXFLAGS = $(AM_CXXFLAGS) -std=gnu++20
xen_haven_vif_bridge_LDADD = $(XEN_LIBS)
# A library more is some milliseconds more.
xen_haven_vif_bridge_LDFLAGS = $(AM_LDFLAGS) -Wl,--as-needed

# Where xl looks for it when SYSCONFDIR is /etc.
install-exec-hook:
	$(MKDIR_P) '$(DESTDIR)$(sysconfdir)/xen/scripts'
	ln -sf '$(havenlibexecdir)/haven-vif-bridge' '$(DESTDIR)$(sysconfdir)/xen/scripts/haven-vif-bridge'
uninstall-hook:
	rm -f '$(DESTDIR)$(sysconfdir)/xen/scripts/haven-vif-bridge'
endif

if HAVE_CPPUTEST
check_PROGRAMS += tests/unit/xen_tests
TESTS += tests/unit/xen_tests
endif
tests_unit_xen_tests_CPPFLAGS = $(AM_CPPFLAGS) $(CPPUTEST_CFLAGS)
tests_unit_xen_tests_LDADD = libhavenxen.la libhavenengine.la $(CPPUTEST_LIBS)
tests_unit_xen_tests_SOURCES = \
	tests/unit/main.cc \
	tests/unit/xen_support.h \
	tests/unit/xen_domain_guard_test.cc \
	tests/unit/xen_domain_state_test.cc \
	tests/unit/xen_frontends_test.cc \
	tests/unit/xen_guest_memory_test.cc \
	tests/unit/xen_pv_suspend_test.cc \
	tests/unit/xen_vif_plugs_test.cc
