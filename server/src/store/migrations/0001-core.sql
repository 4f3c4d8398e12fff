-- What the control plane knows of itself: trust domain, store epoch, sealed keys.
create table setting (
  name text primary key,
  value jsonb not null
);

create table sealed_secret (
  name text primary key,
  sealed bytea not null
);

create table organization (
  id text primary key,
  name text not null unique,
  personal_user_id text,
  create_time timestamptz not null default now(),
  update_time timestamptz not null default now()
);

create table app_user (
  id text primary key,
  name text not null unique,
  cluster_admin boolean not null default false,
  create_time timestamptz not null default now()
);

create table member (
  organization_id text not null references organization on delete cascade,
  user_id text not null references app_user on delete cascade,
  role text not null check (role in ('viewer', 'member', 'owner')),
  create_time timestamptz not null default now(),
  primary key (organization_id, user_id)
);
create index member_user on member (user_id);

create table access_token (
  id text primary key,
  user_id text not null references app_user on delete cascade,
  name text not null,
  hash bytea not null unique,
  scopes text[] not null,
  create_time timestamptz not null default now(),
  expire_time timestamptz,
  use_time timestamptz,
  revoke_time timestamptz
);
create index access_token_user on access_token (user_id, id);

create table audit_event (
  key bigint generated always as identity primary key,
  id text not null unique,
  time timestamptz not null default now(),
  -- null: of the cluster
  organization_id text,
  actor text not null,
  action text not null,
  object_id text not null default '',
  object_name text not null default '',
  source text not null default '',
  outcome text not null,
  details jsonb not null default '{}'
);
create index audit_event_organization on audit_event (organization_id, key);

create table runner (
  id text primary key,
  -- null: cluster-scoped
  organization_id text references organization,
  name text not null,
  labels jsonb not null default '{}',
  capabilities text[] not null default '{}',
  availability text not null default 'active' check (availability in ('active', 'paused', 'draining', 'locked')),
  availability_reason text not null default '',
  status text not null default 'pending' check (status in ('pending', 'enrolled', 'offline')),
  -- what the runner said of itself in its last hello; null before the first
  reported jsonb,
  token_public_key bytea not null,
  token_create_time timestamptz not null default now(),
  token_maximum_uses integer not null default 0,
  token_uses integer not null default 0,
  token_expire_time timestamptz,
  token_source_cidrs text[] not null default '{}',
  identity_id text,
  enroll_time timestamptz,
  -- the last session number that was issued, and the last that the runner confirmed
  session_number bigint not null default 0,
  confirmed_session_number bigint not null default 0,
  -- the replica that holds the live session
  session_replica_id text,
  lease_time timestamptz,
  heartbeat_time timestamptz,
  create_time timestamptz not null default now(),
  update_time timestamptz not null default now(),
  delete_time timestamptz,
  -- the transaction of the last change that others want to hear of
  change_xid xid8 not null default pg_current_xact_id()
) with (fillfactor = 70);
create unique index runner_name on runner (coalesce(organization_id, ''), name) where delete_time is null;
create index runner_change on runner (change_xid);

-- One enrollment of one runner.
create table identity (
  id text primary key,
  runner_id text not null references runner,
  state text not null check (state in ('current', 'superseded', 'revoked')),
  -- the key of the enrollment, by which a repeated request is known
  spki_sha256 text not null unique,
  -- the highest generation that was used on a connection
  used_generation bigint not null default 0,
  create_time timestamptz not null default now(),
  end_time timestamptz
);
create index identity_runner on identity (runner_id);

-- One certificate of an identity.
create table identity_generation (
  identity_id text not null references identity,
  generation bigint not null,
  spki_sha256 text not null unique,
  serial text not null,
  chain_pem text not null,
  issue_time timestamptz not null,
  expire_time timestamptz not null,
  primary key (identity_id, generation)
);

-- What replicas must hear of at once: a runner's sessions are to end. Read by number, at least twice a second.
create table revocation (
  number bigint generated always as identity primary key,
  runner_id text not null,
  reason text not null,
  time timestamptz not null default now()
);

-- Who places: one row. The fleet version is raised by every change of a runner that placing must not miss.
create table leader (
  name text primary key,
  holder text not null,
  epoch bigint not null,
  renew_time timestamptz not null,
  expire_time timestamptz not null,
  fleet_version bigint not null default 0
);
insert into leader (name, holder, epoch, renew_time, expire_time) values ('orchestrator', '', 0, now(), now());

create sequence fence_counter as bigint minvalue 1 maxvalue 1099511627775;

-- A workload is three rows with one ordered key. What never changes is written once, and never moved (decision 2).
create table workload (
  -- a number of the same sequence as fences: the fence of a workload that was placed as it started
  key bigint primary key,
  try integer not null default 1,
  maximum_tries integer not null default 1,
  -- null: never
  lost_after_ms bigint,
  pending_timeout_ms bigint not null,
  create_time timestamptz not null default now(),
  retry_on_lost boolean not null default false,
  retry_on_failed boolean not null default false,
  -- in the order of bytes, whatever the database's language, so that a prefix is a range
  id text collate "C" not null unique,
  organization_id text not null,
  name text not null default '',
  retry_of text,
  created_by text not null,
  -- the job that it is a try of, and its run; null where it was started directly. Its retries are the job's.
  run_id text,
  job_id text,
  labels jsonb not null default '{}',
  -- the contract's WorkloadSpec in binary; values of secret variables are sealed
  spec bytea not null,
  demand json not null
);
create index workload_name on workload (organization_id, name, key) where name <> '';

-- What changes while a workload lives; gone with the statement that ends it, so this table stays small. No index on what
-- changes between placing and the end, and half of each page free, so that a batch of updates stays in its pages.
create table workload_life (
  key bigint not null,
  -- of the last placement; before the first, the key with a minus, so that it is always a number of its own
  fence bigint not null unique,
  pend_time timestamptz not null default now(),
  place_time timestamptz,
  start_time timestamptz,
  unreachable_since timestamptz,
  -- the transaction of the last change, and below the replica that made it
  change_xid xid8 not null default pg_current_xact_id(),
  stop_grace_ms integer,
  stop_requested boolean not null default false,
  id text not null,
  organization_id text not null,
  phase text not null,
  runner_id text,
  writer text not null default '',
  message text not null default '',
  verdict text not null default '',
  stop_reason text not null default '',
  -- runner id → until when it is passed over, in ms since 1970
  excluded jsonb not null default '{}'
) with (fillfactor = 45, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- Who was placed as it started has its key for a fence and is found by that; only the others need a second index.
create unique index workload_life_key on workload_life (key) where fence <> key;

create view life_by_key as
  select fence as key, fence, pend_time, place_time, start_time, unreachable_since, change_xid, stop_grace_ms, stop_requested, id,
    organization_id, phase, runner_id, writer, message, verdict, stop_reason, excluded
  from workload_life where fence = key
  union all
  select key, fence, pend_time, place_time, start_time, unreachable_since, change_xid, stop_grace_ms, stop_requested, id,
    organization_id, phase, runner_id, writer, message, verdict, stop_reason, excluded
  from workload_life where fence <> key;

-- How a workload ended. Nothing updates here, so a terminal phase cannot change; the sweep deletes what is old enough.
create table workload_end (
  key bigint not null,
  fence bigint not null,
  pend_time timestamptz not null,
  place_time timestamptz,
  start_time timestamptz,
  end_time timestamptz not null,
  unreachable_since timestamptz,
  change_xid xid8 not null default pg_current_xact_id(),
  stop_grace_ms integer,
  stop_requested boolean not null default false,
  organization_id text not null,
  phase text not null,
  runner_id text,
  retried_by text,
  writer text not null,
  message text not null,
  verdict text not null,
  stop_reason text not null default '',
  cpu_time_ms bigint,
  memory_peak_bytes bigint,
  -- what else the runner said of its end; null where it said nothing
  result json,
  primary key (organization_id, key)
);
create index workload_end_change on workload_end (change_xid);

create view workload_state as
  select key, organization_id, phase, message, verdict, runner_id, greatest(fence, 0) as fence, null::text as retried_by,
    stop_requested, stop_grace_ms, stop_reason, excluded, unreachable_since, pend_time, place_time, start_time,
    null::timestamptz as end_time, null::jsonb as result, writer, change_xid
  from life_by_key
  union all
  select key, organization_id, phase, message, verdict, runner_id, greatest(fence, 0), retried_by, stop_requested,
    stop_grace_ms, stop_reason, '{}', unreachable_since, pend_time, place_time, start_time, end_time,
    case when result is not null then jsonb_build_object('cpuTime_ms', cpu_time_ms, 'memoryPeak_bytes', memory_peak_bytes,
      'startTime_ms', extract(epoch from start_time) * 1000, 'endTime_ms', extract(epoch from end_time) * 1000)
      || result::jsonb end,
    writer, change_xid
  from workload_end;

-- The whole of a workload. Its state is found first, by an index of what is asked for; `offset 0` keeps the planner from
-- reading all records that ever were for a merge or a hash. By id: (organization_id, key) = (select … from workload where id = …).
create view any_workload as
  select s.*, w.* from workload_state s cross join lateral (
    select id, name, labels, spec, demand, try, retry_of, maximum_tries, retry_on_lost, retry_on_failed, lost_after_ms,
      pending_timeout_ms, create_time, created_by, run_id, job_id
    from workload where key = s.key offset 0) w;

create view live_workload as
  select s.*, w.* from (
    select key, organization_id, phase, message, verdict, runner_id, greatest(fence, 0) as fence, null::text as retried_by,
      stop_requested, stop_grace_ms, stop_reason, excluded, unreachable_since, pend_time, place_time, start_time,
      null::timestamptz as end_time, null::jsonb as result, writer, change_xid
    from life_by_key) s
  cross join lateral (
    select id, name, labels, spec, demand, try, retry_of, maximum_tries, retry_on_lost, retry_on_failed, lost_after_ms,
      pending_timeout_ms, create_time, created_by, run_id, job_id
    from workload where key = s.key offset 0) w;

create table idempotency_key (
  organization_id text not null,
  method text not null,
  key text not null,
  request_hash bytea not null,
  object_id text not null,
  create_time timestamptz not null default now(),
  primary key (organization_id, method, key)
);

-- The last hours of each runner's measurements: the contract's MetricsSample in binary.
create table metrics_sample (
  runner_id text not null,
  time timestamptz not null,
  sample bytea not null,
  primary key (runner_id, time)
);
