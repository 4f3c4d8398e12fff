-- Values that jobs get as environment variables, sealed under the master key.
create table secret (
  key bigint generated always as identity primary key,
  organization_id text not null references organization on delete cascade,
  -- null: of the whole organization
  project_id text references project on delete cascade,
  name text collate "C" not null,
  sealed bytea not null,
  -- a user's id
  set_by text not null,
  create_time timestamptz not null default now(),
  set_time timestamptz not null default now(),
  last_use_time timestamptz,
  unique nulls not distinct (organization_id, project_id, name)
);
create index secret_project on secret (project_id) where project_id is not null;
