-- A bundle's upload is of the user who began it; an artifact's is of its runner.
alter table upload add column user_id text;
create index upload_organization on upload (organization_id) where user_id is not null;
