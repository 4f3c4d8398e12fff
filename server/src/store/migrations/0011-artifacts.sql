-- Bytes, once for each SHA-256. Those that nothing refers to are swept; the key is of one upload, so a late delete hits nobody else's.
create table content (
  sha256 text primary key,
  size_bytes bigint not null,
  blob_key text not null unique,
  use_time timestamptz not null default now()
);

-- What one try of a job keeps under a name.
create table artifact (
  key bigint generated always as identity primary key,
  id text not null unique,
  organization_id text not null,
  project_id text not null,
  run_id text not null references run (id) on delete cascade,
  job_id text not null,
  workload_id text not null,
  fence bigint not null,
  name text not null,
  -- what names that a file system may take for one share
  name_key text not null,
  directory boolean not null,
  state text not null,
  message text not null default '',
  sha256 text references content,
  size_bytes bigint not null default 0,
  create_time timestamptz not null default now(),
  -- of its last byte
  update_time timestamptz not null default now(),
  complete_time timestamptz,
  expire_time timestamptz not null,
  unique (workload_id, fence, name_key)
);
create index artifact_organization on artifact (organization_id, key);
create index artifact_run on artifact (run_id);
create index artifact_job on artifact (job_id);
create index artifact_content on artifact (sha256);
create index artifact_expiry on artifact (expire_time);
create index artifact_uploading on artifact (update_time) where state = 'uploading';

-- Files that runs start with.
create table bundle (
  organization_id text not null references organization on delete cascade,
  sha256 text not null references content,
  use_time timestamptz not null default now(),
  primary key (organization_id, sha256)
);
create index bundle_content on bundle (sha256);

-- Bytes on their way: of a bundle, or of the artifact with the same id.
create table upload (
  id text primary key,
  organization_id text not null,
  received_bytes bigint not null default 0,
  update_time timestamptz not null default now()
);
create table upload_part (
  upload_id text not null references upload on delete cascade,
  first_byte bigint not null,
  size_bytes bigint not null,
  blob_key text not null,
  primary key (upload_id, first_byte)
);

-- Blobs that nothing needs any more, until they are gone.
create table doomed_blob (
  blob_key text primary key,
  doom_time timestamptz not null default now()
);

-- Something that the run waits for has come about beside its jobs.
alter table run add column advance_requested boolean not null default false;
create index run_advance on run (key) where advance_requested;
