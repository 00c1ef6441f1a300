use proptest::prelude::*;
use tidegate_base::clock;
use tidegate_model::schedule::{RawSchedule, ScheduleDraft};

use super::*;
use crate::import::{Position, Rows};

fn schedule(draft: &ScheduleDraft) -> Schedule {
    Schedule {
        id: uuid::Uuid::now_v7(),
        title: draft.title().to_owned(),
        starts_at: draft.starts_at(),
        ends_at: draft.ends_at(),
        recurrence: draft.recurrence().map(ToString::to_string),
        attendees: draft.attendees().iter().map(ToString::to_string).collect(),
        created_at: clock::now(),
        updated_at: clock::now(),
    }
}

fn read(format: Format, text: &str) -> Vec<ScheduleDraft> {
    let mut rows = Rows::open(std::io::Cursor::new(text.to_owned()), format, Position::START).unwrap();
    let mut drafts = Vec::new();
    loop {
        let chunk = rows.next_chunk(100).unwrap();
        assert!(chunk.rejects.is_empty(), "{:?}\n{text}", chunk.rejects);
        drafts.extend(chunk.rows.into_iter().map(|(_, draft)| draft));
        if chunk.finished {
            return drafts;
        }
    }
}

fn drafts() -> impl Strategy<Value = ScheduleDraft> {
    let text = "[=+@'\"', ;a-zäß＝-]{1,12}";
    let rule = prop_oneof![Just(None), Just(Some("FREQ=DAILY;COUNT=3".to_owned()))];
    (text, 0_i64..4_000_000_000_000, 1_i64..1_000_000_000, rule, proptest::collection::vec(text, 0..4)).prop_filter_map(
        "not a schedule",
        |(title, start, length, recurrence, attendees)| {
            let at = |ms| clock::from_ms(ms).to_rfc3339();
            let raw = RawSchedule { title, starts_at: at(start), ends_at: at(start + length), recurrence, attendees };
            ScheduleDraft::try_new(&raw).ok()
        },
    )
}

proptest! {
    #[test]
    fn what_is_exported_is_imported_as_it_was(drafts in proptest::collection::vec(drafts(), 0..5)) {
        let schedules: Vec<_> = drafts.iter().map(schedule).collect();
        for format in [Format::Csv, Format::Ndjson] {
            let text = format!("{}{}", beginning(format), lines(format, &schedules));
            prop_assert_eq!(&read(format, &text), &drafts, "{}", text);
        }
    }
}

#[test]
fn no_cell_is_run_by_a_spreadsheet() {
    let raw = RawSchedule {
        title: "=HYPERLINK(\"http://evil\",\"x\")".to_owned(),
        starts_at: "2030-01-01T00:00:00Z".to_owned(),
        ends_at: "2030-01-01T01:00:00.5Z".to_owned(),
        recurrence: None,
        attendees: vec!["-1+1".to_owned(), "+SUM(A1)".to_owned()],
    };
    let text = lines(Format::Csv, &[schedule(&ScheduleDraft::try_new(&raw).unwrap())]);
    assert_eq!(
        text,
        "\"'=HYPERLINK(\"\"http://evil\"\",\"\"x\"\")\",2030-01-01T00:00:00Z,2030-01-01T01:00:00.500Z,,\"'-1+1;'+SUM(A1)\"\n"
    );
}
