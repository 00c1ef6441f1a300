//! The list of tables of a backup.

/// A table of a backup.
#[derive(Debug)]
pub struct Table {
    /// Name of the table.
    pub name: &'static str,
    /// Columns, with those of the primary key first.
    pub columns: &'static [Column],
    /// Number of columns of the primary key.
    pub keys: usize,
}

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Name of the column.
    pub name: &'static str,
    /// Type of its values.
    pub kind: Kind,
}

/// Type of the values of a column. Any column may contain NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A signed 64-bit integer.
    Int,
    /// A text.
    Text,
    /// Bytes.
    Blob,
}

impl Table {
    /// Returns the columns of the key.
    pub fn key(&self) -> impl Iterator<Item = &'static Column> {
        self.columns.iter().take(self.keys)
    }

    /// Returns the table with that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TABLES.iter().find(|table| table.name == name)
    }
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn blob(name: &'static str) -> Column {
    Column { name, kind: Kind::Blob }
}

/// Tables that a backup omits: the identity of the database, cache invalidations, sessions,
/// notifications (kept only for days), and current alerts. A restore ends all sessions.
#[cfg(test)]
pub(super) const LEFT_OUT: &[&str] = &[
    "alert_notice",
    "alert_receiver",
    "alert_report",
    "alert_sender",
    "alert_state",
    "installation",
    "invalidation",
    "notification",
    "session",
];

/// Every other table. A table comes after the tables that it refers to.
pub const TABLES: &[Table] = &[
    Table {
        name: "tenant",
        columns: &[
            text("id"),
            text("name"),
            text("tier"),
            int("per_minute"),
            int("per_hour"),
            int("per_day"),
            int("max_users"),
            int("created_at"),
            int("plan_epoch"),
        ],
        keys: 1,
    },
    Table {
        name: "api_key",
        columns: &[blob("digest"), text("tenant_id"), int("created_at"), text("id"), text("name")],
        keys: 1,
    },
    Table {
        name: "app_user",
        columns: &[text("tenant_id"), text("id"), text("email"), text("name"), text("password"), int("created_at")],
        keys: 2,
    },
    Table {
        name: "preference",
        columns: &[text("tenant_id"), text("user_id"), text("body"), int("updated_at")],
        keys: 2,
    },
    Table { name: "activity", columns: &[text("id"), text("tenant_id"), text("kind"), int("n"), int("at")], keys: 1 },
    Table { name: "analytics_day", columns: &[text("tenant_id"), int("day"), text("kind"), int("n")], keys: 3 },
    Table { name: "view_day", columns: &[text("tenant_id"), int("day"), int("n")], keys: 2 },
    Table { name: "increment_stream", columns: &[text("stream"), int("number"), int("at")], keys: 1 },
    Table {
        name: "schedule",
        columns: &[
            text("id"),
            text("tenant_id"),
            text("title"),
            int("starts_at"),
            int("ends_at"),
            text("recurrence"),
            text("attendees"),
            int("created_at"),
            int("updated_at"),
            text("import_id"),
            int("import_line"),
            int("next_at"),
        ],
        keys: 1,
    },
    Table {
        name: "reminder",
        columns: &[text("schedule_id"), int("at"), text("tenant_id"), int("created_at"), int("sent_at"), int("mails")],
        keys: 2,
    },
    Table {
        name: "import",
        columns: &[
            text("id"),
            text("tenant_id"),
            int("next_byte"),
            int("next_line"),
            int("imported"),
            int("rejected"),
            int("finished_at"),
            int("closed_at"),
            text("failure"),
            int("created_at"),
        ],
        keys: 1,
    },
    Table { name: "import_reject", columns: &[text("import_id"), int("line"), text("reason")], keys: 2 },
    Table {
        name: "file",
        columns: &[
            text("id"),
            text("tenant_id"),
            text("kind"),
            text("name"),
            text("content_type"),
            int("bytes"),
            text("sha256"),
            int("created_at"),
            int("expires_at"),
        ],
        keys: 1,
    },
    Table {
        name: "export_run",
        columns: &[
            text("id"),
            text("tenant_id"),
            int("created_at"),
            text("file_id"),
            int("closed_at"),
            text("kind"),
            text("second_file_id"),
        ],
        keys: 1,
    },
    Table { name: "notification_stream", columns: &[text("tenant_id"), int("last"), int("gone")], keys: 1 },
    Table {
        name: "webhook",
        columns: &[
            text("tenant_id"),
            text("id"),
            text("url"),
            text("secret"),
            text("kinds"),
            int("created_at"),
            int("disabled_at"),
        ],
        keys: 2,
    },
    Table {
        name: "alert_silence",
        columns: &[text("rule"), int("whole"), text("subject"), int("until_at"), text("reason"), int("created_at")],
        keys: 3,
    },
];
