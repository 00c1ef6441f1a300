//! Statements made by a grammar, with a secret in every literal and comment.

use std::fmt::Write as _;

use tidegate_perfmon::Dialect;
use tidegate_testkit::Random;

/// Secrets of letters are made of these; no name or keyword here has four of them in a row.
pub(crate) const LETTERS: &[u8] = b"zqxjkvw";

fn one_of<'a>(random: &mut Random, list: &[&'a str]) -> &'a str {
    list[random.below(list.len())]
}

pub(crate) struct Statement {
    pub(crate) sql: String,
    case: u64,
}

impl Statement {
    /// `is_whole` if nothing will be cut: only then it has comments that end with the line, because
    /// that end cannot be lost.
    pub(crate) fn random(case: u64, dialect: Dialect, is_whole: bool) -> Self {
        Self { sql: Writer::write(case, case, dialect, is_whole), case }
    }

    pub(crate) fn with_other_values(&self, dialect: Dialect) -> String {
        Writer::write(self.case, !self.case, dialect, true)
    }
}

const NAMES: &[&str] = &["id", "name", "tenant_id", "t1", "price", "created_at", "Owner", "größe"];
const TABLES: &[&str] = &["tasks", "schedule", "api_key", "users", "Orders"];

struct Writer {
    sql: String,
    /// Decides what stands where.
    shape: Random,
    /// Decides what the values are.
    values: Random,
    dialect: Dialect,
    is_whole: bool,
}

impl Writer {
    fn write(shape: u64, values: u64, dialect: Dialect, is_whole: bool) -> String {
        let mut writer = Self {
            sql: String::new(),
            shape: Random::new(shape ^ 0x5555),
            values: Random::new(values ^ 0xAAAA),
            dialect,
            is_whole,
        };
        writer.statement();
        writer.sql
    }

    fn push(&mut self, text: &str) {
        self.sql.push_str(text);
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.shape.below(one_in) == 0
    }

    fn statement(&mut self) {
        match self.shape.below(4) {
            0 | 1 => self.select(),
            2 => {
                self.push("INSERT INTO ");
                self.table();
                self.push(" (id, name) VALUES ");
                for row in 0..=self.shape.below(3) {
                    self.push(if row == 0 { "( " } else { ", ( " });
                    self.literal();
                    self.push(" , ");
                    self.expression(1);
                    self.push(" )");
                }
                if self.chance(3) {
                    self.push(" ON CONFLICT (id) DO UPDATE SET name = ");
                    self.literal();
                }
            }
            _ => {
                self.push("UPDATE ");
                self.table();
                self.push(" SET name = ");
                self.expression(1);
                self.push(" WHERE ");
                self.condition(2);
            }
        }
        if self.chance(5) {
            self.push(";");
        }
    }

    fn select(&mut self) {
        self.push("SELECT ");
        for item in 0..=self.shape.below(2) {
            self.push(if item == 0 { "" } else { " , " });
            self.expression(1);
        }
        self.push(" FROM ");
        self.table();
        if self.chance(3) {
            self.push(" AS t JOIN ");
            self.table();
            self.push(" ON t.id = t1.id");
        }
        self.push(" WHERE ");
        self.condition(2);
        if self.chance(3) {
            self.push(" ORDER BY id DESC LIMIT ");
            self.number();
        }
    }

    fn table(&mut self) {
        let name = one_of(&mut self.shape, TABLES);
        match self.shape.below(3) {
            0 => write!(self.sql, "\"{name}\"").unwrap(),
            1 => write!(self.sql, "main.{name}").unwrap(),
            _ => self.push(name),
        }
    }

    fn name(&mut self) {
        let name = one_of(&mut self.shape, NAMES);
        self.push(name);
    }

    fn condition(&mut self, depth: usize) {
        if depth == 0 || self.chance(3) {
            self.name();
            let operator = one_of(&mut self.shape, &[" = ", " <> ", " LIKE ", " >= ", " IN ( "]);
            self.push(operator);
            self.expression(1);
            if operator == " IN ( " {
                for _ in 0..self.shape.below(3) {
                    self.push(" , ");
                    self.literal();
                }
                self.push(" )");
            }
            return;
        }
        match self.shape.below(3) {
            0 => {
                self.push("( ");
                self.condition(depth - 1);
                self.push(" )");
            }
            1 => {
                self.condition(depth - 1);
                self.push(" AND ");
                self.condition(depth - 1);
            }
            _ => {
                self.push("NOT ");
                self.condition(depth - 1);
            }
        }
    }

    fn expression(&mut self, depth: usize) {
        match self.shape.below(if depth == 0 { 4 } else { 7 }) {
            0 => self.name(),
            1..4 => self.literal(),
            4 => {
                self.push("coalesce( ");
                self.expression(depth - 1);
                self.push(" , ");
                self.literal();
                self.push(" )");
            }
            5 => {
                self.push("CASE WHEN id = ");
                self.literal();
                self.push(" THEN ");
                self.literal();
                self.push(" END");
            }
            _ => {
                self.expression(depth - 1);
                let operator = one_of(&mut self.shape, &[" || ", " + ", " / ", " * ", " - "]);
                self.push(operator);
                self.literal();
            }
        }
    }

    /// Letters, with something before and behind them that a careless reader stumbles over.
    fn content(&mut self, decorations: &[&str]) -> String {
        let mut content = String::new();
        for _ in 0..=self.values.below(2) {
            content.push_str(one_of(&mut self.values, decorations));
            for _ in 0..8 {
                content.push(char::from(LETTERS[self.values.below(LETTERS.len())]));
            }
            content.push_str(one_of(&mut self.values, decorations));
        }
        content
    }

    fn text(&mut self) -> String {
        self.content(&[
            "", " ", "'", " ' ", "\"", " \" ", " -- ", "/* ", " */ ", "$$", " $a$ ", ";", " ( ", ")", " , ", "\n", "é",
            " AND ", " [ ", "]", "`", "\\", " \\ ", "E'", "x",
        ])
    }

    fn digits(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(b'0' + u8::try_from(self.values.below(10)).unwrap())).collect()
    }

    fn hex(&mut self) -> String {
        (0..16).map(|_| char::from(b"0123456789abcdefABCDEF"[self.values.below(22)])).collect()
    }

    fn number(&mut self) {
        let (whole, part) = (self.digits(12), self.digits(8));
        match self.shape.below(5) {
            0 | 1 => write!(self.sql, "{whole}"),
            2 => write!(self.sql, "{whole}.{part}"),
            3 => write!(self.sql, ".{part}"),
            _ => write!(self.sql, "{whole}e-{}", self.values.below(300)),
        }
        .unwrap();
    }

    fn literal(&mut self) {
        if self.chance(12) {
            self.comment();
        }
        let quoted = |text: &str| text.replace('\'', "''");
        match (self.shape.below(14), self.dialect) {
            (0..4, _) => {
                let text = self.text();
                write!(self.sql, "'{}'", quoted(&text)).unwrap();
            }
            (4..6, _) => self.number(),
            (6, _) => {
                let hex = self.hex();
                let prefix = one_of(&mut self.shape, &["X", "x"]);
                write!(self.sql, "{prefix}'{hex}'").unwrap();
            }
            (7, _) => {
                let hex = self.hex();
                write!(self.sql, "0x{hex}").unwrap();
            }
            // In SQLite with blanks around it: right behind a point it would be a name.
            (8..11, Dialect::Sqlite) => {
                let mut text = self.text().replace('"', "\"\"");
                if self.is_whole {
                    // With quotes in it, it is refused.
                    text.retain(|char| !matches!(char, '\'' | '"' | '`'));
                }
                write!(self.sql, "\"{text}\"").unwrap();
            }
            (8, _) => {
                let text = self.text().replace('\\', "\\\\").replace('\'', "\\'");
                let prefix = one_of(&mut self.shape, &["E", "e"]);
                write!(self.sql, "{prefix}'{text}'").unwrap();
            }
            (9, _) => {
                let text = self.text().replace('$', "");
                let tag = one_of(&mut self.values, &["", "a", "_b1"]);
                write!(self.sql, "${tag}${text}${tag}$").unwrap();
            }
            (10, _) => {
                let (text, more) = (self.text(), self.text());
                write!(self.sql, "'{}'\n  '{}'", quoted(&text), quoted(&more)).unwrap();
            }
            (11, Dialect::Postgres) => {
                let text = self.content(&["", " ", "''"]);
                write!(self.sql, "U&'{text}'").unwrap();
            }
            (12, Dialect::Postgres) => {
                let digits: String = (0..24).map(|_| char::from(b"01"[self.values.below(2)])).collect();
                write!(self.sql, "B'{digits}'").unwrap();
            }
            (11, _) => self.push("?"),
            (12, _) => self.push(":name"),
            _ => {
                self.push("- ");
                self.number();
            }
        }
    }

    /// Without quotes, like any comment here. A comment with an end has no `--`, which would hide
    /// that end.
    fn comment(&mut self) {
        let decorations = &["", " ", " [ ", " ; ", "\n", " ( ", " * ", "\\"];
        let text = self.content(decorations);
        match self.values.below(3) {
            0 if self.is_whole => writeln!(self.sql, "-- {}", text.replace('\n', " ")),
            1 if self.dialect == Dialect::Postgres => {
                let inner = self.content(decorations);
                write!(self.sql, "/*{text}/*{inner}*/{text}*/ ")
            }
            _ => write!(self.sql, "/*{text}*/ "),
        }
        .unwrap();
    }
}
