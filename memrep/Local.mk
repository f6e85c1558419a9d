libhavenengine_la_SOURCES += \
	memrep/epoch_staging.cc memrep/epoch_staging.h \
	memrep/guest_image.cc memrep/guest_image.h \
	memrep/page_codec.cc memrep/page_codec.h \
	memrep/page_snapshot.cc memrep/page_snapshot.h
