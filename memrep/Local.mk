libhavenengine_la_SOURCES += \
	memrep/block_references.cc memrep/block_references.h \
	memrep/coded_room.h \
	memrep/compression.cc memrep/compression.h \
	memrep/compression_chooser.cc \
	memrep/delta.cc memrep/delta.h \
	memrep/delta_avx2.cc \
	memrep/delta_avx512.cc \
	memrep/delta_layout.h \
	memrep/delta_scalar.h \
	memrep/encoder_options.h \
	memrep/epoch_staging.cc memrep/epoch_staging.h \
	memrep/fgbi_encoder.cc memrep/fgbi_encoder.h \
	memrep/fgbi_whole_pages.cc \
	memrep/guest_image.cc memrep/guest_image.h \
	memrep/page_cache.cc memrep/page_cache.h \
	memrep/page_codec.cc memrep/page_codec.h \
	memrep/page_decoder.cc \
	memrep/page_snapshot.cc memrep/page_snapshot.h \
	memrep/page_store.cc memrep/page_store.h \
	memrep/page_stores.cc memrep/page_stores.h \
	memrep/record_writer.h \
	memrep/search_pace.h \
	memrep/shared_pages.cc memrep/shared_pages.h \
	memrep/worker_pool.cc memrep/worker_pool.h
libhavenengine_la_LIBADD += $(LZ4_LIBS) $(ZSTD_LIBS)
