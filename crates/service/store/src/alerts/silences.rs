//! Silences, which all processes share.

use tidegate_base::clock;
use tidegate_perfmon::Silence;

use super::values::{signed, text, unsigned};
use crate::error::StoreError;
use crate::sql::alerts::{END_SILENCE, LIFT_SILENCE, PUT_SILENCE, SILENCES};
use crate::store::Store;
use crate::value::{Row, Value};

impl Store {
    /// Returns the silences of all processes, including expired ones.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn alert_silences(&self) -> Result<Vec<Silence>, StoreError> {
        let read = |row: &Row| {
            Ok(Silence {
                rule: row.text("rule")?,
                subject: if row.int("whole")? == 1 { None } else { Some(row.text("subject")?) },
                until_unix_ms: unsigned(row.int("until_at")?),
                reason: row.text("reason")?,
            })
        };
        self.db.all(&SILENCES, &[]).await?.iter().map(read).collect()
    }

    /// Stores a silence. Replaces one with the same rule and subject.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn put_alert_silence(&self, silence: &Silence) -> Result<(), StoreError> {
        let [rule, whole, subject] = silence_key(&silence.rule, silence.subject.as_deref());
        let (until, reason) = (signed(silence.until_unix_ms), text(&silence.reason));
        self.write_once(&PUT_SILENCE, &[rule, whole, subject, until.into(), reason, clock::now().into()])
            .await
            .map(|_| ())
    }

    /// Removes a silence. Returns whether it existed.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn lift_alert_silence(&self, rule: &str, subject: Option<&str>) -> Result<bool, StoreError> {
        Ok(self.write_once(&LIFT_SILENCE, &silence_key(rule, subject)).await? > 0)
    }

    /// Removes an expired silence, unless it was renewed.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn end_alert_silence(&self, silence: &Silence) -> Result<(), StoreError> {
        let [rule, whole, subject] = silence_key(&silence.rule, silence.subject.as_deref());
        self.write_once(&END_SILENCE, &[rule, whole, subject, signed(silence.until_unix_ms).into()]).await.map(|_| ())
    }
}

fn silence_key<'a>(rule: &'a str, subject: Option<&'a str>) -> [Value<'a>; 3] {
    [text(rule), i64::from(subject.is_none()).into(), text(subject.unwrap_or_default())]
}
