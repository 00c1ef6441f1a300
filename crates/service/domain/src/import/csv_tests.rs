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
