//! Parser of the setting `alerts.rules`.
//!
//! Commas separate the rules. A built-in rule is `NAME: off` or `NAME: [> VALUE] [for TIME]
//! [SEVERITY]`. An operator's own rule is `NAME: METRIC{label=value} > VALUE [for TIME]
//! [SEVERITY]`. It may have `increase(METRIC[TIME])` instead of the metric.

use std::time::Duration;

use tidegate_base::similar::most_like;
use tidegate_perfmon::{AlertRule, Severity};

use super::cursor::Cursor;
use super::limits::Limit;
use super::{Change, LONGEST_HOLD, Matcher, OwnRule, RuleChanges, Source, Unit};

/// Most own rules. Their metrics are read again and again.
const MOST_OWN: usize = 50;
/// Longest name of a rule.
const LONGEST_NAME: usize = 64;
/// Times over which an increase can be taken.
const WITHIN: std::ops::RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(3600);

/// Why a text of alert rules is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rule {number}{}, character {position}: expected {expected}, found {found}", in_brackets(.rule))]
pub struct RuleTextError {
    /// The rule's place in the setting, counted from 1.
    pub number: usize,
    /// The rule's name. Empty if it could not be read.
    pub rule: String,
    /// The character of the rule's text, counted from 1.
    pub position: usize,
    /// The texts that the rule may have there.
    pub expected: String,
    /// The text that it has there.
    pub found: String,
}

fn in_brackets(rule: &str) -> String {
    if rule.is_empty() { String::new() } else { format!(" (`{rule}`)") }
}

/// Parses the setting. `standing` are the built-in rules.
///
/// # Errors
///
/// At the first fault.
pub fn parse(text: &str, standing: &[AlertRule]) -> Result<RuleChanges, RuleTextError> {
    let mut all = RuleChanges::default();
    if text.trim().is_empty() {
        return Ok(all);
    }
    for (index, text) in split(text).into_iter().enumerate() {
        let mut rule = Rule { number: index + 1, name: String::new(), cursor: Cursor::new(text.trim()), standing };
        rule.read(&mut all)?;
    }
    Ok(all)
}

/// Splits at the commas outside braces and quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut in_braces, mut in_quotes, mut begin, mut all) = (false, false, 0, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '"' => in_quotes = !in_quotes,
            '{' | '}' if !in_quotes => in_braces = letter == '{',
            ',' if !in_quotes && !in_braces => {
                all.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    all.push(&text[begin..]);
    all
}

struct Rule<'a> {
    number: usize,
    name: String,
    cursor: Cursor<'a>,
    standing: &'a [AlertRule],
}

/// The part of a rule after its name or metric.
#[derive(Default)]
struct Condition {
    /// Whether values below the threshold breach the rule, and the threshold.
    threshold: Option<(bool, f64)>,
    hold: Option<Duration>,
    severity: Option<Severity>,
}

impl Rule<'_> {
    fn read(&mut self, all: &mut RuleChanges) -> Result<(), RuleTextError> {
        let begin = self.cursor.clone();
        let is_plain = |next: char| next.is_ascii_lowercase() || next.is_ascii_digit() || "_-.".contains(next);
        let name = self.cursor.take_while(is_plain).to_owned();
        if name.is_empty() || name.len() > LONGEST_NAME {
            return Err(self.fault("a name of 1 to 64 of a-z, 0-9, `_`, `-` and `.`, then a colon"));
        }
        self.name = name;
        if !self.cursor.take(':') {
            return Err(self.fault("a colon after the name"));
        }
        if all.changes.contains_key(&self.name) || all.own.iter().any(|own| own.name == self.name) {
            self.cursor = begin;
            return Err(self.fault("each rule once"));
        }
        let is_standing = self.standing.iter().any(|rule| rule.id == *self.name);
        if self.has_no_metric() {
            if !is_standing {
                let like = most_like(&self.name, self.standing.iter().map(|rule| &*rule.id));
                let advice = like.map(|like| format!(" (did you mean {like}?)")).unwrap_or_default();
                return Err(self.fault(&format!("a metric, since no rule of the program has this name{advice}")));
            }
            let change = self.change()?;
            all.changes.insert(self.name.clone(), change);
        } else {
            if is_standing {
                return Err(self.fault("`off`, `>`, `for` or a severity, since a rule of the program has this name"));
            }
            if all.own.len() >= MOST_OWN {
                return Err(self.fault("at most 50 rules on metrics"));
            }
            let own = self.own()?;
            all.own.push(own);
        }
        if self.cursor.is_at_end() { Ok(()) } else { Err(self.fault("the end of the rule")) }
    }

    fn has_no_metric(&self) -> bool {
        let mut ahead = self.cursor.clone();
        ahead.rest().starts_with(['>', '<'])
            || matches!(word(&mut ahead), "" | "off" | "for" | "info" | "warning" | "critical")
    }

    fn change(&mut self) -> Result<Change, RuleTextError> {
        let begin = self.cursor.clone();
        if word(&mut self.cursor) == "off" {
            return Ok(Change::Off);
        }
        self.cursor = begin;
        let limit = Limit::named(&self.name);
        if limit.is_none() && self.cursor.rest().starts_with(['>', '<']) {
            return Err(self.fault("`off`, `for` or a severity, since another setting has the threshold of this rule"));
        }
        if self.cursor.is_at_end() {
            return Err(self.fault("`off`, `> VALUE`, `for TIME` or a severity"));
        }
        if self.cursor.rest().starts_with('<') {
            return Err(self.fault("`>`"));
        }
        let Condition { threshold, hold, severity } = self.condition(limit.map_or(Unit::Count, |limit| limit.unit))?;
        Ok(Change::To { threshold: threshold.map(|(_, threshold)| threshold), hold, severity })
    }

    fn own(&mut self) -> Result<OwnRule, RuleTextError> {
        let source = self.source()?;
        if !self.cursor.rest().starts_with(['>', '<']) {
            return Err(self.fault("`>` or `<`"));
        }
        let Condition { threshold, hold, severity } = self.condition(Unit::of_metric(&source.metric))?;
        let (is_below, threshold) = threshold.unwrap_or_default();
        let (hold, severity) = (hold.unwrap_or_default(), severity.unwrap_or(Severity::Warning));
        Ok(OwnRule { name: self.name.clone(), source, is_below, threshold, hold, severity })
    }

    fn source(&mut self) -> Result<Source, RuleTextError> {
        let metric = self.metric()?;
        if metric != "increase" || !self.cursor.take('(') {
            return Ok(Source { labels: self.labels()?, metric, within: None });
        }
        let (metric, labels) = (self.metric()?, self.labels()?);
        let wanted = "a time from 1m to 1h in square brackets, such as [10m]";
        if !self.cursor.take('[') {
            return Err(self.fault(wanted));
        }
        let mut behind = self.cursor.clone();
        let within = behind.take_until(']').and_then(|time| humantime::parse_duration(time.trim()).ok());
        let Some(within) = within.filter(|within| WITHIN.contains(within)) else { return Err(self.fault(wanted)) };
        self.cursor = behind;
        if !self.cursor.take(')') {
            return Err(self.fault("`)`"));
        }
        Ok(Source { metric, labels, within: Some(within) })
    }

    fn metric(&mut self) -> Result<String, RuleTextError> {
        let begin = self.cursor.clone();
        let name = self.cursor.take_while(|next| next.is_ascii_alphanumeric() || "_:".contains(next));
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            self.cursor = begin;
            return Err(self.fault("the name of a metric, such as tidegate_queue_length"));
        }
        Ok(name.to_owned())
    }

    fn labels(&mut self) -> Result<Vec<Matcher>, RuleTextError> {
        let mut labels = Vec::new();
        if !self.cursor.take('{') || self.cursor.take('}') {
            return Ok(labels);
        }
        loop {
            let label = self.cursor.take_while(|next| next.is_ascii_alphanumeric() || next == '_').to_owned();
            if label.is_empty() {
                return Err(self.fault("the name of a label"));
            }
            let is_negated = self.cursor.take('!');
            if !self.cursor.take('=') {
                return Err(self.fault("`=` or `!=` after the name of a label"));
            }
            let value = if self.cursor.take('"') {
                self.cursor.take_until('"')
            } else {
                Some(self.cursor.take_while(|next| !next.is_whitespace() && !",}\"".contains(next)))
            };
            let Some(value) = value else { return Err(self.fault("`\"` at the end of the value")) };
            labels.push(Matcher { label, value: value.to_owned(), is_negated });
            if self.cursor.take('}') {
                return Ok(labels);
            }
            if !self.cursor.take(',') {
                return Err(self.fault("`,` or `}` after a label"));
            }
        }
    }

    fn condition(&mut self, unit: Unit) -> Result<Condition, RuleTextError> {
        let mut condition = Condition::default();
        let is_below = self.cursor.rest().starts_with('<');
        if self.cursor.take(if is_below { '<' } else { '>' }) {
            let mut behind = self.cursor.clone();
            let number = behind.take_while(|next| !next.is_whitespace());
            let number = if behind.take('%') { format!("{number}%") } else { number.to_owned() };
            let Some(threshold) = unit.read(&number) else { return Err(self.fault(unit.wanted())) };
            condition.threshold = Some((is_below, threshold));
            self.cursor = behind;
        }
        let mut behind = self.cursor.clone();
        if word(&mut behind) == "for" {
            self.cursor = behind;
            let mut behind = self.cursor.clone();
            let hold = humantime::parse_duration(behind.take_while(|next| !next.is_whitespace())).ok();
            let Some(hold) = hold.filter(|hold| *hold <= LONGEST_HOLD) else {
                return Err(self.fault("a time of at most 1 day, such as 2m"));
            };
            condition.hold = Some(hold);
            self.cursor = behind;
        }
        if !self.cursor.is_at_end() {
            let mut behind = self.cursor.clone();
            let name = word(&mut behind);
            let Some(severity) = Severity::ALL.into_iter().find(|severity| severity.name() == name) else {
                let expected = match condition.hold {
                    Some(_) => "`info`, `warning`, `critical` or the end of the rule",
                    None => "`for`, `info`, `warning`, `critical` or the end of the rule",
                };
                return Err(self.fault(expected));
            };
            condition.severity = Some(severity);
            self.cursor = behind;
        }
        Ok(condition)
    }

    fn fault(&mut self, expected: &str) -> RuleTextError {
        RuleTextError {
            number: self.number,
            rule: self.name.clone(),
            position: self.cursor.position(),
            expected: expected.to_owned(),
            found: self.cursor.found(),
        }
    }
}

fn word<'a>(cursor: &mut Cursor<'a>) -> &'a str {
    cursor.take_while(|next| next.is_ascii_alphanumeric() || next == '_')
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
