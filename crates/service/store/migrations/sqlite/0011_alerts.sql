-- Alerts that nobody is told of for a while, on any process.
CREATE TABLE alert_silence (
    rule       TEXT NOT NULL,
    whole      INTEGER NOT NULL, -- 1: all subjects of the rule, and `subject` is empty
    subject    TEXT NOT NULL,
    until_at   INTEGER NOT NULL,
    reason     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (rule, whole, subject)
) STRICT;

-- What fires in each process, as it says itself. `beat` moves while the process lives: no clocks are compared.
CREATE TABLE alert_report (
    process TEXT NOT NULL,
    rule    TEXT NOT NULL,
    subject TEXT NOT NULL,
    firing  INTEGER NOT NULL, -- 0: it has ended, and `alert` says how
    direct  INTEGER NOT NULL, -- 1: the process has sent it on its own
    beat    INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    source  TEXT NOT NULL,    -- JSON: which program, where
    alert   TEXT NOT NULL,    -- JSON
    PRIMARY KEY (process, rule, subject)
) STRICT;
CREATE INDEX alert_report_by_age ON alert_report (seen_at);

-- What fires in all of them together. `told`: the receivers were sent its beginning, so they get its end.
CREATE TABLE alert_state (
    rule    TEXT NOT NULL,
    subject TEXT NOT NULL,
    told    INTEGER NOT NULL,
    source  TEXT NOT NULL,
    alert   TEXT NOT NULL,
    PRIMARY KEY (rule, subject)
) STRICT;

-- What receivers are sent, in this order.
CREATE TABLE alert_notice (
    id   INTEGER PRIMARY KEY,
    at   INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;

-- How far each receiver is.
CREATE TABLE alert_receiver (
    way     TEXT PRIMARY KEY,
    settled INTEGER NOT NULL -- the last notice that it took, or that was given up
) STRICT, WITHOUT ROWID;

-- The one process that sends. Each change of the row moves `turn`; the holder is dead when it stands still.
CREATE TABLE alert_sender (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    holder  TEXT NOT NULL, -- empty: none
    name    TEXT NOT NULL, -- the holder's, for people
    turn    INTEGER NOT NULL,
    notices INTEGER NOT NULL -- the number of the last notice
) STRICT;
INSERT INTO alert_sender (one, holder, name, turn, notices) VALUES (1, '', '', 0, 0);
