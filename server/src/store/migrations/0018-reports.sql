-- A run may be run again after its forge was told of its end: what is told is of an attempt, and the row goes with the run.
delete from report where not exists (select from run where run.id = report.run_id);
alter table report
  add column told_attempt integer not null default 1,
  add foreign key (run_id) references run (id) on delete cascade;
