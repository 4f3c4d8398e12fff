-- Named places with a source repository.
create table project (
  id text primary key,
  organization_id text not null references organization,
  name text not null,
  source_url text not null default '',
  default_ref text not null default '',
  weight integer not null default 1,
  -- 0: no limit
  maximum_running_jobs integer not null default 0,
  -- 0: the server's default
  retention_days integer not null default 0,
  create_time timestamptz not null default now(),
  update_time timestamptz not null default now(),
  unique (organization_id, name)
);

-- What bounds an organization's queue, and its share of runners that serve all. 0: no limit.
alter table organization
  add column maximum_running_jobs integer not null default 0,
  add column maximum_queued_jobs integer not null default 100000,
  add column queue_weight integer not null default 1,
  -- runs so far: the last one's number
  add column run_count bigint not null default 0;

-- Queues that are held back: of the cluster (scope_id 'cluster'), an organization, a project.
create table queue_pause (
  scope_id text primary key,
  organization_id text references organization on delete cascade,
  reason text not null,
  paused_by text not null,
  pause_time timestamptz not null default now()
);

-- One execution of a pipeline. What is derived from its jobs is written with them, in one transaction that holds this row.
create table run (
  key bigint generated always as identity primary key,
  id text not null unique,
  organization_id text not null,
  number bigint not null,
  project_id text not null default '',
  project_name text not null default '',
  pipeline text not null,
  name text not null,
  content bytea not null,
  -- the parsed pipeline, as pipelines/ defines it
  definition jsonb not null,
  inputs jsonb not null,
  labels jsonb not null,
  ref text not null,
  commit_id text not null,
  bundle_digest text not null,
  source_url text not null,
  cause jsonb not null,
  -- what the trigger was sent
  event jsonb,
  state text not null,
  message text not null default '',
  attempt integer not null default 1,
  cancel_requested boolean not null default false,
  -- the run's time-out: until when the attempt may last; null: no limit
  deadline timestamptz,
  jobs jsonb not null default '{}',
  waiting_ms bigint not null default 0,
  running_ms bigint not null default 0,
  create_time timestamptz not null default now(),
  start_time timestamptz,
  end_time timestamptz,
  change_xid xid8 not null default pg_current_xact_id(),
  unique (organization_id, number)
) with (fillfactor = 70);
create index run_organization on run (organization_id, key);
create index run_project on run (project_id, key);
create index run_change on run (change_xid);
create index run_live on run (key) where end_time is null;

-- One unit of a run's attempt.
create table job (
  key bigint generated always as identity primary key,
  id text not null unique,
  organization_id text not null,
  project_id text not null default '',
  run_id text not null references run (id) on delete cascade,
  run_number bigint not null,
  attempt integer not null,
  name text not null,
  definition text not null,
  matrix jsonb not null default '{}',
  needs jsonb not null default '[]',
  labels jsonb not null default '{}',
  state text not null,
  message text not null default '',
  -- why a skipped one was skipped, for those that need it
  skip_cause text,
  verdict text not null default '',
  -- once its needs have ended: the contract's WorkloadSpec in binary, secret values sealed, and what it asks of a runner
  spec bytea,
  demand json,
  -- the order of the queue: priority, then rank, then key. tag: its turn among the projects of the organization
  priority integer not null default 0,
  rank text collate "C" not null default '',
  tag double precision not null default 0,
  -- what it may not run beside: at most so many of the group at once
  concurrency_group text not null default '',
  concurrency_limit integer not null default 0,
  cancels_older boolean not null default false,
  -- the cells of one matrix that may run at once; 0: all
  matrix_limit integer not null default 0,
  try integer not null default 1,
  maximum_tries integer not null default 1,
  retry_on_lost boolean not null default false,
  -- null: never
  lost_after_ms bigint,
  created_by text not null default '',
  -- of the last try
  workload_id text,
  workload_key bigint,
  runner_id text,
  workload_ids jsonb not null default '[]',
  stop_requested boolean not null default false,
  exit_code integer,
  outputs jsonb not null default '{}',
  reused boolean not null default false,
  queue_time timestamptz,
  available_time timestamptz,
  queue_deadline timestamptz,
  start_time timestamptz,
  end_time timestamptz,
  change_xid xid8 not null default pg_current_xact_id(),
  unique (run_id, attempt, name)
) with (fillfactor = 70);
create index job_queued on job (organization_id, priority desc, rank, key) where state = 'queued';
create index job_tag on job (organization_id, tag) where state = 'queued';
create index job_project_tag on job (organization_id, project_id, tag) where state = 'queued';
create index job_live on job (key) where state in ('queued', 'running');
create index job_change on job (change_xid);
