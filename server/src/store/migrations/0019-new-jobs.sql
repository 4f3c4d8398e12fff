-- Jobs are decided about before they are inserted: what is not blocked then has moved already.
create trigger job_begins after insert on job for each row
  when (new.state <> 'blocked' and not new.reused) execute function tell_of_job();
