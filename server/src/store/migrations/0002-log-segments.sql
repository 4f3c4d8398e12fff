-- Where each sealed part of a log lies. The bytes are in the blob store.
create table log_segments (
  workload_id text not null,
  fence bigint not null check (fence > 0),
  first_line bigint not null check (first_line >= 0),
  next_line bigint not null check (next_line > first_line),
  blob_key text not null,
  size_bytes bigint not null check (size_bytes > 0),
  index_offset bigint not null check (index_offset >= 0),
  create_time timestamptz not null,
  primary key (workload_id, fence, first_line)
);

-- Logs that take no more lines.
create table ended_logs (
  workload_id text not null,
  fence bigint not null check (fence > 0),
  next_line bigint not null check (next_line >= 0),
  end_time timestamptz not null,
  primary key (workload_id, fence)
);
