use proptest::prelude::*;

use super::*;

const LINE: &str = "title,starts_at,ends_at,recurrence,attendees\n";

fn refused(text: &str) -> String {
    Header::read(text.as_bytes()).unwrap_err().to_string()
}

fn drafts(text: &str) -> Vec<Result<ScheduleDraft, Reject>> {
    let header = Header::read(text.as_bytes()).unwrap();
    let rest = &text.as_bytes()[usize::try_from(header.end().byte).unwrap()..];
    Records::new(rest, header.end())
        .map(|entry| match entry.unwrap() {
            Entry::Record(record) => header.draft(&record),
            Entry::Malformed(malformed) => panic!("{malformed:?}"),
        })
        .collect()
}

#[test]
fn takes_the_columns_in_any_order() {
    let text = "\u{FEFF}\r\nattendees, ends_at ,\"title\",starts_at,recurrence\r\n\
                a;B;;a ; ,2026-01-01T10:00:00Z,Plan,2026-01-01T09:00:00Z,FREQ=DAILY\r\n";
    let found = drafts(text);
    let draft = found[0].as_ref().unwrap();
    assert_eq!((draft.title(), draft.attendees().len()), ("Plan", 2));
    assert_eq!((draft.ends_at() - draft.starts_at()).num_minutes(), 60);
    assert_eq!(draft.recurrence().unwrap().as_str(), "FREQ=DAILY");
}

#[test]
fn says_what_is_wrong_with_a_header() {
    assert_eq!(
        refused("title,ends_at,title,Starts_at,x\n"),
        "the header lacks starts_at, recurrence, attendees; repeats title; has the unknown Starts_at, x"
    );
    assert_eq!(refused(&LINE.replace('\n', ",title")), "the header repeats title");
    assert!(refused(&LINE.replace(',', ";")).contains("unknown title;starts_at;ends_at;recurrence;att"));
    assert!(refused("\n\r\n").starts_with("the file is empty"));
    assert!(refused("\n\"title\n").starts_with("line 2, the header, opens a quote"));
    assert!(refused("t\0i\0\n").contains("UTF-8"));
    let many = format!("{}\n", "\u{1}x,".repeat(9000));
    let text = refused(&many);
    assert!(text.chars().count() < 400 && !text.contains('\u{1}'), "{text}");
}

#[test]
fn says_what_is_wrong_with_a_record() {
    let text = format!("{LINE}\na,b,c\n \"\",,,,\n").replace(" \"\"", "\"\"");
    let found: Vec<_> = drafts(&text).into_iter().map(|draft| draft.unwrap_err().to_string()).collect();
    assert_eq!(found[0], "line 3: has 3 columns, not 5");
    assert!(found[1].starts_with("line 4: title: is empty; starts_at: is not an RFC 3339"));
}

#[test]
fn the_first_bytes_decide_once_they_hold_a_line() {
    for length in 0..LINE.len() {
        assert_eq!(Header::of_first_bytes(&LINE.as_bytes()[..length]), Ok(None));
    }
    let whole = format!("{LINE}a,\"half of a rec");
    let header = Header::read(whole.as_bytes()).unwrap();
    assert_eq!(Header::of_first_bytes(whole.as_bytes()), Ok(Some(header)));
    assert!(Header::of_first_bytes(b"title\n").is_err());
    assert_eq!(Header::of_first_bytes(b"\n\r\ntitle"), Ok(None));
    let long = "x".repeat(RECORD_CAP + 2);
    let reason = Malformation::TooLong;
    assert_eq!(Header::of_first_bytes(long.as_bytes()), Err(HeaderError::Malformed { line: 1, reason }));
}

proptest! {
    #[test]
    fn the_first_bytes_never_contradict_the_whole(
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..80),
            "(\u{FEFF})?(\r?\n)?\"?title\n?\"?,starts_at,ends_at,recurrence,(\")?attendees\"?\r?\n?.{0,9}"
                .prop_map(String::into_bytes),
        ],
        cut in 0usize..90,
    ) {
        let whole = Header::read(&bytes[..]);
        match Header::of_first_bytes(&bytes[..cut.min(bytes.len())]) {
            Ok(None) => {}
            Ok(Some(header)) => prop_assert_eq!(whole.unwrap(), header),
            Err(_) => prop_assert!(whole.is_err()),
        }
    }
}
