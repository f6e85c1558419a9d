libhavenengine_la_SOURCES += netrep/output_buffer.cc netrep/output_buffer.h
