use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::import::{HeaderError, Malformation, guarded};

const HEADER: &str = "title,starts_at,ends_at,recurrence,attendees\n";
const ROW: &str = "A,2026-01-01T09:00:00Z,2026-01-01T10:00:00Z,,\n";
const OBJECT: &str = "{\"title\":\"A\",\"starts_at\":\"2026-01-01T09:00:00Z\",\"ends_at\":\"2026-01-01T10:00:00Z\"}\n";

fn open(bytes: &[u8], format: Format, position: Position) -> Rows<Cursor<&[u8]>> {
    Rows::open(Cursor::new(bytes), format, position).unwrap()
}

/// Whether the reader continues or is opened again between two chunks.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Between {
    GoOn,
    Reopen,
}

/// Returns everything in a file, read in chunks of `max_rows`.
fn drain(bytes: &[u8], format: Format, max_rows: usize, between: Between) -> (Vec<(u64, ScheduleDraft)>, Vec<Reject>) {
    let (mut rows, mut rejects) = (vec![], vec![]);
    let mut source = open(bytes, format, Position::START);
    loop {
        let chunk = source.next_chunk(max_rows).unwrap();
        assert!(chunk.rows.len() + chunk.rejects.len() <= max_rows.max(1));
        rows.extend(chunk.rows);
        rejects.extend(chunk.rejects);
        if chunk.finished {
            return (rows, rejects);
        }
        if between == Between::Reopen {
            source = open(bytes, format, chunk.end);
        }
    }
}

#[test]
fn every_data_line_is_a_row_or_a_reject() {
    let text = format!("{HEADER}{ROW}\nbad\n\"open\n{ROW}");
    let (rows, rejects) = drain(text.as_bytes(), Format::Csv, 100, Between::GoOn);
    assert_eq!(rows.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 6]);
    let reasons: Vec<_> = rejects.iter().map(|r| (r.line(), r.reason().to_owned())).collect();
    let unclosed = Malformation::UnclosedQuote.to_string();
    assert_eq!(reasons, [(4, "has 1 columns, not 5".into()), (5, unclosed)]);

    let text = format!("{OBJECT}\nbad\n{OBJECT}");
    let (rows, rejects) = drain(text.as_bytes(), Format::Ndjson, 1, Between::Reopen);
    assert_eq!(rows.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 4]);
    assert_eq!(rejects.iter().map(Reject::line).collect::<Vec<_>>(), [3]);
}

#[test]
fn the_end_is_reported_and_stays() {
    let text = format!("{HEADER}{ROW}");
    let mut rows = open(text.as_bytes(), Format::Csv, Position::START);
    let first = rows.next_chunk(0).unwrap();
    assert_eq!((first.rows.len(), first.finished), (1, false));
    assert_eq!(first.end, Position { byte: text.len() as u64, line: 3 });
    for _ in 0..2 {
        let last = rows.next_chunk(5).unwrap();
        assert_eq!((last.rows.len(), last.finished, last.end), (0, true, first.end));
    }
}

#[test]
fn a_file_that_cannot_be_read_on_is_refused() {
    let text = format!("{HEADER}{ROW}");
    let at = |byte| Position { byte, line: 1 };
    let past = Rows::open(Cursor::new(&text), Format::Csv, at(text.len() as u64 + 1));
    assert!(matches!(past, Err(ImportError::PastEnd { .. })));
    let headless = Rows::open(Cursor::new(ROW), Format::Csv, Position::START);
    assert!(matches!(headless, Err(ImportError::Header(HeaderError::Columns { .. }))));
    // A position inside the header can only mean the beginning.
    assert_eq!(open(text.as_bytes(), Format::Csv, at(5)).next_chunk(1).unwrap().rows[0].0, 2);
}

#[test]
fn a_chunk_is_bounded_in_bytes() {
    let padded = ROW.replace(",,\n", &format!(",,{}\n", ";".repeat(60_000)));
    let text = format!("{HEADER}{}", padded.repeat(150));
    let chunk = open(text.as_bytes(), Format::Csv, Position::START).next_chunk(1000).unwrap();
    assert!((60..80).contains(&chunk.rows.len()), "{}", chunk.rows.len());
    let (rows, rejects) = drain(text.as_bytes(), Format::Csv, 1000, Between::Reopen);
    assert_eq!((rows.len(), rejects.len()), (150, 0));
}

#[test]
fn a_failed_read_loses_nothing() {
    struct Breaks<'a>(Cursor<&'a [u8]>, u64);
    impl Read for Breaks<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.position() >= self.1 { Err(io::Error::other("gone")) } else { self.0.read(&mut buffer[..1]) }
        }
    }
    impl Seek for Breaks<'_> {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }
    let text = ROW.repeat(4000);
    let text = format!("{HEADER}{text}");
    let broken = Breaks(Cursor::new(text.as_bytes()), 100_000);
    let mut rows = Rows::open(broken, Format::Csv, Position::START).unwrap();
    let mut kept = 0;
    let mut end = Position::START;
    while let Ok(chunk) = rows.next_chunk(7) {
        kept += chunk.rows.len();
        end = chunk.end;
    }
    assert!(kept > 0 && rows.next_chunk(7).is_err());
    let rest = open(text.as_bytes(), Format::Csv, end).next_chunk(usize::MAX).unwrap();
    assert_eq!((kept + rest.rows.len(), rest.finished), (4000, true));
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just(ROW.to_owned()),
        2 => Just(OBJECT.to_owned()),
        1 => Just("\"A\nB\",2026-01-01T09:00:00Z,2026-01-01T10:00:00Z,FREQ=DAILY,a;b\r\n".to_owned()),
        1 => "[\",a\r\n]{0,8}",
        1 => "(?s).{0,12}\n?",
    ]
}

proptest! {
    #[test]
    fn chunks_and_restarts_change_nothing(
        lines in proptest::collection::vec(line(), 0..20),
        max_rows in 0usize..6,
        between in prop_oneof![Just(Between::GoOn), Just(Between::Reopen)],
    ) {
        let body = lines.concat();
        let csv = format!("{HEADER}{body}");
        for (text, format) in [(&csv, Format::Csv), (&body, Format::Ndjson)] {
            let whole = drain(text.as_bytes(), format, usize::MAX, Between::GoOn);
            prop_assert_eq!(drain(text.as_bytes(), format, max_rows, between), whole);
        }
    }

    #[test]
    fn arbitrary_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let csv = [HEADER.as_bytes(), &bytes].concat();
        for (bytes, format) in [(&csv, Format::Csv), (&bytes, Format::Ndjson)] {
            let (rows, rejects) = drain(bytes, format, 3, Between::Reopen);
            let mut lines: Vec<_> = rows.iter().map(|row| row.0).chain(rejects.iter().map(Reject::line)).collect();
            let count = lines.len();
            lines.sort_unstable();
            lines.dedup();
            prop_assert_eq!(lines.len(), count);
        }
    }

    #[test]
    fn a_table_written_by_the_csv_crate_is_imported_whole(
        titles in proptest::collection::vec("[ -~äé]{0,20}[a-z]", 0..20),
        names in proptest::collection::vec("[a-z ,\"]{0,8}[a-z]", 0..4),
    ) {
        let mut writer = csv::Writer::from_writer(HEADER.as_bytes().to_vec());
        for title in &titles {
            let fields = [&*guarded(title.trim()), "2026-01-01T09:00:00Z", "2026-01-01T10:00:00Z", "", &names.join(";")];
            writer.write_record(fields).unwrap();
        }
        let (rows, rejects) = drain(&writer.into_inner().unwrap(), Format::Csv, 4, Between::Reopen);
        prop_assert_eq!(rejects, vec![]);
        let read: Vec<_> = rows.iter().map(|(_, draft)| draft.title()).collect();
        let written: Vec<_> = titles.iter().map(|title| title.trim()).collect();
        prop_assert_eq!(read, written);
    }
}
