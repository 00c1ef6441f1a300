//! Parses a cron expression. An error names the field and the position.
//!
//! The library is more lenient than a schedule should be (it reads `JAN1` as 11 and `1,,2` as
//! `1,2`), and its errors have no position. So each item is checked separately first.

use std::fmt;

use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use serde::Serialize;

/// Longest expression, in bytes.
const LONGEST: usize = 256;
/// Range of years that are searched. Without it, the library searches for 30 February until the
/// year 5000.
const YEARS: &str = "1970-2199";
/// Bytes of an expression that an error shows.
const SHOWN: usize = 80;

const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

const MONTHS: &[&str] = &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// A field of a cron expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CronField {
    /// 0 to 59. Only in expressions of six fields, as the first one.
    Second,
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31. `L` is the last day, `15W` the weekday nearest to the 15th, `LW` the last weekday.
    DayOfMonth,
    /// 1 to 12, or `JAN` to `DEC`.
    Month,
    /// 0 or 7 for Sunday, to 6 for Saturday, or `SUN` to `SAT`. `5#2` is the second Friday, `5L`
    /// the last Friday.
    DayOfWeek,
}

impl CronField {
    const ALL: [Self; 6] = [Self::Second, Self::Minute, Self::Hour, Self::DayOfMonth, Self::Month, Self::DayOfWeek];

    fn allowed(self) -> &'static str {
        match self {
            Self::Second | Self::Minute => "0 to 59",
            Self::Hour => "0 to 23",
            Self::DayOfMonth => "1 to 31, L, LW or a day with W",
            Self::Month => "1 to 12 or JAN to DEC",
            Self::DayOfWeek => "0 to 7 or SUN to SAT, with #1 to #5 or L",
        }
    }

    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Month => MONTHS,
            Self::DayOfWeek => WEEKDAYS,
            _ => &[],
        }
    }
}

impl fmt::Display for CronField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of month",
            Self::Month => "month",
            Self::DayOfWeek => "day of week",
        })
    }
}

/// A cron expression can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct ExpressionError {
    /// The expression, cut to 80 bytes.
    pub expression: String,
    /// The field with the fault. `None` if the fault is not in a field.
    pub field: Option<CronField>,
    /// Position of the fault, in bytes from the start of the expression.
    pub at: usize,
    /// The text at that position.
    pub part: String,
    /// Description of the fault.
    pub fault: String,
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cron expression {:?}, ", self.expression)?;
        match self.field {
            Some(field) => write!(
                f,
                "{field} field, {:?} at byte {}: {}; allowed are {}",
                self.part,
                self.at,
                self.fault,
                field.allowed()
            ),
            None => write!(f, "at byte {}: {}", self.at, self.fault),
        }
    }
}

fn shown(text: &str) -> String {
    text[..text.floor_char_boundary(SHOWN)].to_owned()
}

/// A field as written, with its position.
#[derive(Clone, Copy)]
struct Part<'a> {
    at: usize,
    text: &'a str,
}

impl<'a> Part<'a> {
    fn split(self, by: impl Fn(char) -> bool + 'a) -> impl Iterator<Item = Part<'a>> {
        let start = self.text.as_ptr() as usize;
        self.text.split(by).map(move |text| Part { at: self.at + (text.as_ptr() as usize - start), text })
    }
}

/// Parses an expression of five fields, of six with seconds first, or a nickname such as `@daily`.
pub(super) fn parse(expression: &str) -> Result<Cron, ExpressionError> {
    let fault = |field, part: Part<'_>, fault: &str| ExpressionError {
        expression: shown(expression),
        field,
        at: part.at,
        part: shown(part.text),
        fault: fault.to_owned(),
    };
    let whole = Part { at: 0, text: expression };
    if expression.len() > LONGEST {
        return Err(fault(None, Part { at: LONGEST, text: "" }, "longer than 256 bytes"));
    }
    let parts: Vec<_> = whole.split(|c| c.is_ascii_whitespace()).filter(|part| !part.text.is_empty()).collect();
    if let [nickname] = parts.as_slice()
        && nickname.text.starts_with('@')
    {
        let known = NICKNAMES.iter().find(|(name, _)| nickname.text.eq_ignore_ascii_case(name));
        let Some((_, meaning)) = known else {
            let text = "no known nickname; there are @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually";
            return Err(fault(None, *nickname, text));
        };
        return read(meaning.split(' ')).map_err(|error| fault(None, *nickname, &words(error)));
    }
    let fields = match parts.len() {
        5 => &CronField::ALL[1..],
        6 => &CronField::ALL[..],
        count => {
            let at = parts.get(6).copied().unwrap_or(Part { at: expression.len(), text: "" });
            return Err(fault(None, at, &format!("{count} fields, where 5 are needed, or 6 with seconds first")));
        }
    };
    let each = || fields.iter().copied().zip(parts.iter().copied());
    for (field, part) in each() {
        check_words(field, part).map_err(|(part, text)| fault(Some(field), part, text))?;
    }
    read(parts.iter().map(|part| part.text)).map_err(|error| {
        let culprit = each().find_map(|(field, part)| Some((field, bad_item(field, part)?)));
        match culprit {
            Some((field, (item, error))) => fault(Some(field), item, &words(error)),
            None => fault(None, whole, &words(error)),
        }
    })
}

/// The items of a field's list. `+` before the days of the week means that both day fields must
/// match; without it, one match is enough.
fn items(field: CronField, part: Part<'_>) -> impl Iterator<Item = Part<'_>> {
    let list = match part.text.strip_prefix('+') {
        Some(rest) if field == CronField::DayOfWeek => Part { at: part.at + 1, text: rest },
        _ => part,
    };
    list.split(|c| c == ',')
}

/// Checks each word for faults that the library accepts.
fn check_words(field: CronField, part: Part<'_>) -> Result<(), (Part<'_>, &'static str)> {
    let mut words = items(field, part).flat_map(|item| item.split(|c| matches!(c, '-' | '/' | '#')));
    words.try_for_each(|word| check_word(field, word.text).map_err(|fault| (word, fault)))
}

/// Returns the first item that the library refuses on its own.
fn bad_item(field: CronField, part: Part<'_>) -> Option<(Part<'_>, CronError)> {
    items(field, part).find_map(|item| {
        let fields = CronField::ALL.map(|other| if other == field { item.text } else { "*" });
        Some((item, read(fields.into_iter()).err()?))
    })
}

fn check_word(field: CronField, word: &str) -> Result<(), &'static str> {
    let digits = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let letters = digits.to_ascii_uppercase();
    match (word.len() - digits.len(), letters.as_str()) {
        (0, "") => Err("something is missing"),
        (1..=4, "") | (0, "*") => Ok(()),
        (5.., "") => Err("number out of bounds"),
        (0, "?" | "L" | "LW") | (1..=2, "W") if field == CronField::DayOfMonth => Ok(()),
        (0, "?") | (1..=2, "L") if field == CronField::DayOfWeek => Ok(()),
        (0, name) if field.names().contains(&name) => Ok(()),
        (0, name)
            if field == CronField::DayOfWeek && name.strip_suffix('L').is_some_and(|day| WEEKDAYS.contains(&day)) =>
        {
            Ok(())
        }
        _ => Err("not understood"),
    }
}

fn read<'a>(fields: impl Iterator<Item = &'a str>) -> Result<Cron, CronError> {
    let mut fields: Vec<_> = fields.collect();
    if fields.len() == 5 {
        fields.insert(0, "0");
    }
    fields.push(YEARS);
    let parser = CronParser::builder().seconds(Seconds::Required).year(Year::Required).build();
    parser.parse(&fields.join(" "))
}

fn words(error: CronError) -> String {
    let text = match error {
        CronError::ComponentError(text) | CronError::IllegalCharacters(text) | CronError::InvalidPattern(text) => text,
        other => other.to_string(),
    };
    let mut text = text.trim_end_matches('.').to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_crontabs_hold() {
        for good in [
            "* * * * *",
            "*/5 0-6,22,23 1,15 JAN-mar Mon-FRI",
            "0 0 L * *",
            "0 0 LW * *",
            "0 0 15W * *",
            "0 0 * * 5#2",
            "0 0 * * friL",
            "0 0 * * 5L",
            "0 0 13 * +5",
            "0 0 ? * 7",
            "*/10 * * * * *",
            "  0\t0 * * *  ",
            "@Daily",
            "0-59/15 * * * *",
        ] {
            assert!(parse(good).is_ok(), "{good}: {:?}", parse(good).err());
        }
    }

    #[test]
    fn errors_name_the_field_and_the_position() {
        let cases: &[(&str, Option<CronField>, usize, &str)] = &[
            ("61 * * * *", Some(CronField::Minute), 0, "61"),
            ("0  1,24 * * *", Some(CronField::Hour), 5, "24"),
            ("0 0 0 * *", Some(CronField::DayOfMonth), 4, "0"),
            ("0 0 1 13 *", Some(CronField::Month), 6, "13"),
            ("0 0 1 JAN1 *", Some(CronField::Month), 6, "JAN1"),
            ("0 0 1 MON *", Some(CronField::Month), 6, "MON"),
            ("0 0 * * 1MON", Some(CronField::DayOfWeek), 8, "1MON"),
            ("0 0 * * 1,8", Some(CronField::DayOfWeek), 10, "8"),
            ("0 0 * * 1#6", Some(CronField::DayOfWeek), 8, "1#6"),
            ("1,,2 * * * *", Some(CronField::Minute), 2, ""),
            ("*/0 * * * *", Some(CronField::Minute), 0, "*/0"),
            ("5/10 * * * *", Some(CronField::Minute), 0, "5/10"),
            ("30-10 * * * *", Some(CronField::Minute), 0, "30-10"),
            ("1-2-3 * * * *", Some(CronField::Minute), 0, "1-2-3"),
            ("* * * * * 99999", Some(CronField::DayOfWeek), 10, "99999"),
            ("x * * * * *", Some(CronField::Second), 0, "x"),
            ("* 5L * * *", Some(CronField::Hour), 2, "5L"),
            ("* * * *", None, 7, ""),
            ("* * * * * * 2027", None, 12, "2027"),
            ("", None, 0, ""),
            ("@reboot", None, 0, "@reboot"),
            ("0 0 * * ä", Some(CronField::DayOfWeek), 8, "ä"),
        ];
        for (text, field, at, part) in cases {
            let error = parse(text).expect_err(text);
            assert_eq!((error.field, error.at, error.part.as_str()), (*field, *at, *part), "{text}: {error}");
        }
        let long = "0,".repeat(5_000);
        assert!(parse(&long).expect_err("too long").to_string().len() < 250);
        let message = parse("0 24 * * *").unwrap_err().to_string();
        assert_eq!(
            message,
            "cron expression \"0 24 * * *\", hour field, \"24\" at byte 2: number out of bounds; allowed are 0 to 23"
        );
    }

    proptest! {
        /// Neither this parser nor the library panics, and the position of an error is within the
        /// text.
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}|[-0-9*/,#LW?+@A-Z ]{0,30}|([-0-9*/,#LW?A-C]{1,4} ){5,6}") {
            if let Err(error) = parse(&text) {
                prop_assert!(error.at <= text.len());
                prop_assert!(text.is_char_boundary(error.at));
            }
        }
    }
}
