-- A replica asks the others to seal what they hold of a log, so that it can be read or gone on with. Rows live for seconds.
create table seal_request (
  id bigint generated always as identity primary key,
  workload_id text not null,
  fence bigint not null,
  by_replica_id text not null,
  -- the one that answers in any case; empty: only one that had lines answers
  of_replica_id text not null,
  is_answered boolean not null default false,
  create_time timestamptz not null default now()
);
