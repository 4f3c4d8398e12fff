-- When a superseded identity was first refused: an event, said once.
alter table identity add column refuse_time timestamptz;
