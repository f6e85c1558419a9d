include_HEADERS += session/haven_figures.h
libhavenengine_la_SOURCES += \
	session/activator.h \
	session/after_session.cc session/after_session.h \
	session/ack_watch.h \
	session/after_loss.cc session/after_loss.h \
	session/arbiter.cc session/arbiter.h \
	session/backup_connection.cc session/backup_connection.h \
	session/backup_decisions.cc session/backup_decisions.h \
	session/backup_guest.cc session/backup_guest.h \
	session/backup_ledger.cc session/backup_ledger.h \
	session/backup_options.h \
	session/backup_session.cc session/backup_session.h \
	session/backup_situation.cc session/backup_situation.h \
	session/backup_status.cc session/backup_status.h \
	session/guest_run.cc session/guest_run.h \
	session/backup_store.cc session/backup_store.h \
	session/checkpointer.cc session/checkpointer.h \
	session/cold_start.cc session/cold_start.h \
	session/cpu_time.h \
	session/epoch_hand_over.cc \
	session/epoch_history.cc session/epoch_history.h \
	session/early_looks.cc session/early_looks.h \
	session/early_pages.cc session/early_pages.h \
	session/epoch_loop.cc session/epoch_loop.h \
	session/first_copy.cc session/first_copy.h \
	session/going_alone.cc session/going_alone.h \
	session/guest.h \
	session/harvest_policy.h \
	session/haven_figures.h \
	session/heartbeat.cc session/heartbeat.h \
	session/main_progress.cc session/main_progress.h \
	session/main_thread.cc session/main_thread.h \
	session/memory_need.cc session/memory_need.h \
	session/memory_sender.cc session/memory_sender.h \
	session/mode_switch.h \
	session/newer_wins.cc session/newer_wins.h \
	session/other_machine.cc session/other_machine.h \
	session/output_gate.cc session/output_gate.h \
	session/page_encoding.cc session/page_encoding.h \
	session/policy/adaptive.cc session/policy/adaptive.h \
	session/policy/epoch_policy.h \
	session/policy/kemari.h \
	session/policy/mode.cc session/policy/mode.h \
	session/recent_peak.h \
	session/policy/remus.h \
	session/primary_agreement.cc session/primary_agreement.h \
	session/primary_connection.cc session/primary_connection.h \
	session/primary_handshake.cc session/primary_handshake.h \
	session/primary_end.cc \
	session/primary_session.cc session/primary_session.h \
	session/primary_ledger.cc session/primary_ledger.h \
	session/primary_options.h \
	session/primary_report.h \
	session/primary_status.h \
	session/promotion.cc session/promotion.h \
	session/recent_median.h \
	session/replica_rules.cc session/replica_rules.h \
	session/stand_still_watch.cc session/stand_still_watch.h \
	session/start_gate.cc session/start_gate.h \
	session/trial_load.cc session/trial_load.h \
	session/stop_flag.h
