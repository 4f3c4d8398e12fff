-- What starts runs of a project without a person. Its configurations are versions: of those that are on the newest acts.
create table trigger (
  id text primary key,
  organization_id text not null,
  project_id text not null references project on delete cascade,
  name text not null,
  -- of a webhook, sealed with the master key
  secret bytea,
  -- the forge's token for reports, sealed likewise
  credential bytea,
  -- of a schedule that is on: when it comes due
  next_time timestamptz,
  create_time timestamptz not null default now(),
  update_time timestamptz not null default now(),
  unique (project_id, name)
);
create index trigger_due on trigger (next_time) where next_time is not null;

create table trigger_version (
  trigger_id text not null references trigger on delete cascade,
  version integer not null,
  enabled boolean not null default true,
  config jsonb not null,
  created_by text not null,
  create_time timestamptz not null default now(),
  primary key (trigger_id, version)
);

-- What came for a trigger, and what became of it.
create table delivery (
  key bigint generated always as identity primary key,
  id text not null unique,
  trigger_id text not null references trigger on delete cascade,
  sender_id text not null,
  event text not null,
  -- as it was sent; null for a schedule, and for what was not verified
  payload bytea,
  -- of a schedule
  slot timestamptz,
  state text not null,
  reason text not null default '',
  -- the run that it starts has this id, so that it starts once
  run_id text not null,
  redelivery_of text not null default '',
  tries integer not null default 0,
  -- waiting: when it may be worked; whoever works it moves it on
  next_try_time timestamptz not null default now(),
  create_time timestamptz not null default now()
);
create index delivery_of_trigger on delivery (trigger_id, key);
create index delivery_waiting on delivery (trigger_id, key) where state = 'waiting';
create index delivery_age on delivery (create_time);
-- Two leaders fire a time once.
create unique index delivery_slot on delivery (trigger_id, slot) where slot is not null and redelivery_of = '';

-- What a trigger was sent already, kept for longer than the deliveries: hashes of delivery ids and payloads.
create table delivery_seen (
  trigger_id text not null references trigger on delete cascade,
  hash bytea not null,
  delivery_id text not null,
  create_time timestamptz not null default now(),
  primary key (trigger_id, hash)
);
create index delivery_seen_age on delivery_seen (create_time);

-- Tokens that start runs of one project. What is kept of a token is its hash.
create table trigger_token (
  id text primary key,
  organization_id text not null,
  project_id text not null references project on delete cascade,
  name text not null,
  hash bytea not null unique,
  created_by text not null,
  create_time timestamptz not null default now(),
  expire_time timestamptz,
  use_time timestamptz,
  revoke_time timestamptz
);
create index trigger_token_of_project on trigger_token (project_id, create_time);

-- What a forge is still to be told of a run: a row for each run until its end was told.
create table report (
  run_id text primary key,
  trigger_id text not null references trigger on delete cascade,
  -- the forge, its API, the repository, the commit, the pull request or issue
  target jsonb not null,
  -- the run's state that the forge knows
  told text not null default '',
  comment_id text not null default '',
  tries integer not null default 0,
  next_try_time timestamptz not null default now()
);
create index report_due on report (next_try_time);
