-- By what the sweep finds what is too old. Ended workloads and audit events it finds by their growing keys.
create index idempotency_key_time on idempotency_key (create_time);
create index metrics_sample_time on metrics_sample (time);
create index identity_generation_expire on identity_generation (expire_time);
create index log_segments_time on log_segments (create_time);
create index ended_logs_time on ended_logs (end_time);
