-- What a run may not run beside: the group that its pipeline names for the whole run.
alter table run
  add column concurrency_group text not null default '',
  add column concurrency_limit integer not null default 0,
  add column cancels_older boolean not null default false,
  -- its turn in the group, taken by the attempt when it first wanted to begin; null: it asked for none
  add column concurrency_turn bigint,
  -- whether the group lets the attempt's jobs go
  add column admitted boolean not null default false;
create sequence run_turn;
create index run_group on run (organization_id, project_id, concurrency_group)
  where end_time is null and concurrency_turn is not null;
create index run_deadline on run (deadline) where end_time is null and not cancel_requested;
create index run_ended on run (end_time) where end_time is not null;

create index job_deadline on job (queue_deadline) where state = 'queued';
create index job_running on job (organization_id, workload_key) where state = 'running';
create index job_group on job (organization_id, project_id, concurrency_group, key)
  where concurrency_group <> '' and state in ('queued', 'running');
create index workload_run on workload (run_id) where run_id is not null;
