-- Alerts that nobody is told of for a while, on any process.
CREATE TABLE alert_silence (
    rule       TEXT COLLATE "C" NOT NULL,
    whole      BIGINT NOT NULL, -- 1: all subjects of the rule, and `subject` is empty
    subject    TEXT COLLATE "C" NOT NULL,
    until_at   BIGINT NOT NULL,
    reason     TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (rule, whole, subject)
);

-- What fires in each process, as it says itself. `beat` moves while the process lives: no clocks are compared.
CREATE TABLE alert_report (
    process TEXT COLLATE "C" NOT NULL,
    rule    TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    firing  BIGINT NOT NULL, -- 0: it has ended, and `alert` says how
    direct  BIGINT NOT NULL, -- 1: the process has sent it on its own
    beat    BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    source  TEXT NOT NULL,    -- JSON: which program, where
    alert   TEXT NOT NULL,    -- JSON
    PRIMARY KEY (process, rule, subject)
);
CREATE INDEX alert_report_by_age ON alert_report (seen_at);

-- What fires in all of them together. `told`: the receivers were sent its beginning, so they get its end.
CREATE TABLE alert_state (
    rule    TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    told    BIGINT NOT NULL,
    source  TEXT NOT NULL,
    alert   TEXT NOT NULL,
    PRIMARY KEY (rule, subject)
);

-- What receivers are sent, in this order.
CREATE TABLE alert_notice (
    id   BIGINT PRIMARY KEY,
    at   BIGINT NOT NULL,
    body TEXT NOT NULL
);

-- How far each receiver is.
CREATE TABLE alert_receiver (
    way     TEXT COLLATE "C" PRIMARY KEY,
    settled BIGINT NOT NULL -- the last notice that it took, or that was given up
);

-- The one process that sends. Each change of the row moves `turn`; the holder is dead when it stands still.
CREATE TABLE alert_sender (
    one     BIGINT PRIMARY KEY CHECK (one = 1),
    holder  TEXT NOT NULL, -- empty: none
    name    TEXT NOT NULL, -- the holder's, for people
    turn    BIGINT NOT NULL,
    notices BIGINT NOT NULL -- the number of the last notice
);
INSERT INTO alert_sender (one, holder, name, turn, notices) VALUES (1, '', '', 0, 0);
