-- Addresses that are told of what becomes of runs, jobs and runners.
create table webhook (
  id text primary key,
  organization_id text not null references organization on delete cascade,
  -- null: of the whole organization
  project_id text references project on delete cascade,
  name text not null,
  url text not null,
  events jsonb not null default '[]',
  labels jsonb not null default '{}',
  enabled boolean not null default true,
  -- why the server switched it off
  disable_reason text not null default '',
  -- both sealed with the master key; the one before signs too until its time is over
  secret bytea not null,
  previous_secret bytea,
  previous_secret_expire_time timestamptz,
  -- since the last request that was taken
  failing_since timestamptz,
  failures integer not null default 0,
  last_error text not null default '',
  -- nothing is sent before: whoever sends moves it on, and so does a failure
  next_send_time timestamptz not null default now(),
  -- events that were not queued because too many waited
  dropped bigint not null default 0,
  created_by text not null,
  create_time timestamptz not null default now(),
  update_time timestamptz not null default now(),
  unique (organization_id, name)
);
create index webhook_project on webhook (project_id) where project_id is not null;

-- What happened and is not yet queued for the webhooks of its organization: written with the change that it tells of, by the
-- triggers below, and gone with the transaction that queues it.
create table webhook_event (
  key bigint generated always as identity primary key,
  organization_id text not null,
  project_id text not null,
  type text not null,
  labels jsonb not null,
  data jsonb not null,
  time timestamptz not null default now()
);

-- One event on its way to one webhook.
create table webhook_delivery (
  key bigint generated always as identity primary key,
  id text not null unique,
  webhook_id text not null references webhook on delete cascade,
  message_id text not null,
  event_type text not null,
  -- as it is signed and sent
  body text not null,
  state text not null default 'waiting',
  tries integer not null default 0,
  status_code integer not null default 0,
  error text not null default '',
  redelivery_of text not null default '',
  create_time timestamptz not null default now(),
  try_time timestamptz,
  next_try_time timestamptz not null default now()
);
create index webhook_delivery_of_webhook on webhook_delivery (webhook_id, key);
create index webhook_delivery_waiting on webhook_delivery (webhook_id, next_try_time) where state = 'waiting';
create index webhook_delivery_age on webhook_delivery (create_time);

-- Whatever statement moves a run, a job or a runner on tells of it once, in its own transaction. Where an organization has no
-- webhook, a change costs one look at the index of names.
create function utc_text(moment timestamptz) returns text language sql stable
  return to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

create function tell_of_run() returns trigger language plpgsql as $$
begin
  insert into webhook_event (organization_id, project_id, type, labels, data)
  select new.organization_id, new.project_id, 'run.' || new.state, new.labels, jsonb_build_object(
    'organizationId', new.organization_id, 'run', jsonb_build_object(
      'id', new.id, 'number', new.number, 'attempt', new.attempt, 'state', new.state, 'message', new.message, 'name', new.name,
      'pipeline', new.pipeline, 'projectId', new.project_id, 'project', new.project_name, 'ref', new.ref, 'commit', new.commit_id,
      'labels', new.labels, 'cause', new.cause ->> 'kind', 'createTime', utc_text(new.create_time), 'startTime', utc_text(new.start_time),
      'endTime', utc_text(new.end_time)))
  where exists (select from webhook where organization_id = new.organization_id and enabled);
  return null;
end $$;
create trigger run_begins after insert on run for each row execute function tell_of_run();
create trigger run_moves after update of state on run for each row
  when (old.state is distinct from new.state) execute function tell_of_run();

create function tell_of_job() returns trigger language plpgsql as $$
begin
  insert into webhook_event (organization_id, project_id, type, labels, data)
  select new.organization_id, new.project_id, 'job.' || new.state, new.labels, jsonb_build_object(
    'organizationId', new.organization_id, 'job', jsonb_build_object(
      'id', new.id, 'runId', new.run_id, 'runNumber', new.run_number, 'attempt', new.attempt, 'name', new.name, 'state', new.state,
      'message', new.message, 'projectId', new.project_id, 'labels', new.labels, 'try', new.try, 'runnerId', coalesce(new.runner_id, ''),
      'exitCode', new.exit_code, 'queueTime', utc_text(new.queue_time), 'startTime', utc_text(new.start_time), 'endTime', utc_text(new.end_time)))
  where exists (select from webhook where organization_id = new.organization_id and enabled);
  return null;
end $$;
-- A job that another attempt takes over with its result has ended before.
create trigger job_moves after update of state on job for each row
  when (old.state is distinct from new.state and not new.reused) execute function tell_of_job();

create function tell_of_runner() returns trigger language plpgsql as $$
declare
  happened text[];
begin
  happened := case
    when tg_op = 'INSERT' then array['registered']
    when old.delete_time is distinct from new.delete_time then array['deleted']
    else array_remove(array[
      case when old.status is distinct from new.status then new.status end,
      case when old.availability is distinct from new.availability then new.availability end], null) end;
  insert into webhook_event (organization_id, project_id, type, labels, data)
  select new.organization_id, '', 'runner.' || one, new.labels, jsonb_build_object(
    'organizationId', new.organization_id, 'runner', jsonb_build_object(
      'id', new.id, 'name', new.name, 'status', new.status, 'availability', new.availability,
      'availabilityReason', new.availability_reason, 'labels', new.labels))
  from unnest(happened) one
  where exists (select from webhook where organization_id = new.organization_id and enabled);
  return null;
end $$;
create trigger runner_begins after insert on runner for each row
  when (new.organization_id is not null) execute function tell_of_runner();
create trigger runner_moves after update of status, availability, delete_time on runner for each row
  when (new.organization_id is not null and (old.status, old.availability, old.delete_time)
    is distinct from (new.status, new.availability, new.delete_time)) execute function tell_of_runner();
