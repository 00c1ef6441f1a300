-- Which of two plans of a tenant is the newer: milliseconds since 1970, and greater with each change.
ALTER TABLE tenant ADD COLUMN plan_epoch INTEGER NOT NULL DEFAULT 0;
UPDATE tenant SET plan_epoch = created_at;
