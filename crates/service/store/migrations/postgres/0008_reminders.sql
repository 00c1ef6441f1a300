-- From when on occurrences of a schedule are still to be looked at: the next one, or a time before it. NULL where none is left. Whoever
-- prepares reminders leaves behind what has passed, so that no rule has to be worked out here; nor for rows that come without it, of a backup
-- of before or of a node of the version before.
ALTER TABLE schedule ADD COLUMN next_at BIGINT DEFAULT 0;
UPDATE schedule SET next_at = starts_at;
CREATE INDEX schedule_due ON schedule (next_at, id) WHERE next_at IS NOT NULL;

-- A reminder of one occurrence: the key is what makes it one, however often it is prepared and sent.
CREATE TABLE reminder (
    schedule_id TEXT COLLATE "C" NOT NULL, -- a schedule that is gone has rows of what was sent
    at          BIGINT NOT NULL, -- when the occurrence starts
    tenant_id   TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    created_at  BIGINT NOT NULL,
    sent_at     BIGINT,          -- in the transaction of the notification
    mails       BIGINT NOT NULL, -- to how many attendees it goes by mail
    PRIMARY KEY (schedule_id, at)
);
CREATE INDEX reminder_of_day ON reminder (tenant_id, at, mails);
CREATE INDEX reminder_pending ON reminder (at, schedule_id) WHERE sent_at IS NULL;
CREATE INDEX reminder_by_age ON reminder (at);
