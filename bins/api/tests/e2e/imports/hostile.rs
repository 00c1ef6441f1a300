//! Hostile files: bad lines are named by their physical number, and nothing else is lost.

use reqwest::StatusCode;

use super::{Reject, job_id, rejects_file, result, upload};
use crate::harness::Api;

#[tokio::test]
async fn a_hostile_csv_costs_exactly_its_bad_lines() {
    let long = "x".repeat(65 * 1024);
    let row = |title: &str| format!("{title},2030-01-01T10:00:00Z,2030-01-01T11:00:00Z,,\n").into_bytes();
    let lines: Vec<Vec<u8>> = vec![
        b"\xEF\xBB\xBFtitle,starts_at,ends_at,recurrence,attendees\r\n".to_vec(), // 1
        b"crlf,2030-01-01T10:00:00Z,2030-01-01T11:00:00Z,,\r\n".to_vec(),
        b"\n\r\n".to_vec(), // 3 and 4: blank
        row("half a \" quote"),
        row("after five"), // 6
        row("\"closed\" too early"),
        b"four,2030-01-01T10:00:00Z,2030-01-01T11:00:00Z,\n".to_vec(),
        b"six,2030-01-01T10:00:00Z,2030-01-01T11:00:00Z,,,\n".to_vec(),
        b"\xFF\xFE latin,2030-01-01T10:00:00Z,2030-01-01T11:00:00Z,,\n".to_vec(), // 10
        b"nul \0,2030-01-01T10:00:00Z,2030-01-01T11:00:00Z,,\n".to_vec(),
        row("\"says \"\"hi\"\", twice\""), // 12
        // 13 to 15
        b"many lines,2030-01-01T10:00:00Z,2030-01-01T11:00:00Z,,\"ada@example.org;\n\nBob\"\n".to_vec(),
        row("\"a title\non two lines\""), // 16 and 17
        row("grüße 🌊"),
        row("carriage\rreturn"), // 19
        row(&long),
        row(""), // 21
        b"late,2030-01-01T11:00:00Z,2030-01-01T10:00:00Z,FREQ=NEVER,a@\n".to_vec(),
        row("\"never closed"), // 23
        row("after the open quote"),
        b"no line end,2030-01-01T10:00:00Z,2030-01-01T11:00:00Z,,".to_vec(), // 25
    ];

    let bad = import_hostile(
        "text/csv",
        lines.concat(),
        &["after five", "after the open quote", "crlf", "grüße 🌊", "many lines", "no line end", "says \"hi\", twice"],
    )
    .await;
    let expected = [
        (5, "quote inside an unquoted field"),
        (7, "text after the closing quote"),
        (8, "has 4 columns, not 5"),
        (9, "has 6 columns, not 5"),
        (10, "is not UTF-8"),
        (11, "NUL byte"),
        (16, "title: contains the control character U+000A"),
        (19, "carriage return that is not part of a line ending"),
        (20, "is longer than 64 KiB"),
        (21, "title: is empty"),
        (22, "ends_at: is not later than starts_at; recurrence: "),
        (23, "opens a quote that is not closed"),
    ];
    assert_rejected(&bad, &expected);
}

#[tokio::test]
async fn a_hostile_ndjson_costs_exactly_its_bad_lines() {
    let row = |title: &str| {
        format!(
            "{{\"title\":\"{title}\",\"starts_at\":\"2030-01-01T10:00:00Z\",\"ends_at\":\"2030-01-01T11:00:00Z\"}}\n"
        )
        .into_bytes()
    };
    let lines: Vec<Vec<u8>> = vec![
        [b"\xEF\xBB\xBF".to_vec(), row("after the mark")].concat(), // 1
        b"\n \t\r\n".to_vec(),                                      // 2 and 3: blank
        b"{\"title\":\"cut\n".to_vec(),
        b"[\"title\",\"2030-01-01T10:00:00Z\",\"2030-01-01T11:00:00Z\",null,[]]\n".to_vec(), // 5
        b"\"text\"\n".to_vec(),
        row("unknown\",\"colour\":\"blue"),
        b"{\"title\":7,\"starts_at\":\"2030-01-01T10:00:00Z\",\"ends_at\":\"2030-01-01T11:00:00Z\"}\n".to_vec(),
        b"{\"title\":\"no times\"}\n".to_vec(), // 9
        b"{\"title\":\"\xFF\"}\n".to_vec(),
        b"{\"title\":\"\0\"}\n".to_vec(),
        // 12
        [row("two"), row("objects")].concat().into_iter().filter(|byte| *byte != b'\n').chain(*b"\n").collect(),
        row(&"x".repeat(65 * 1024)),
        row("crlf").strip_suffix(b"\n").map(|line| [line, b"\r\n"].concat()).expect("a line"),
        row("grüße 🌊"),                                                  // 15
        row("no line end").strip_suffix(b"\n").expect("a line").to_vec(), // 16
    ];

    let good = ["after the mark", "crlf", "grüße 🌊", "no line end"];
    let bad = import_hostile("application/x-ndjson", lines.concat(), &good).await;
    let expected = [
        (4, "EOF while parsing a string"),
        (5, "is not a JSON object"),
        (6, "is not a JSON object"),
        (7, "unknown field `colour`"),
        (8, "invalid type: integer `7`"),
        (9, "missing field `starts_at`"),
        (10, "is not UTF-8"),
        (11, "NUL byte"),
        (12, "trailing characters"),
        (13, "is longer than 64 KiB"),
    ];
    assert_rejected(&bad, &expected);
}

/// Imports a file, and asserts what is in the table afterwards. Returns the bad lines.
async fn import_hostile(content_type: &str, file: Vec<u8>, good: &[&str]) -> Vec<Reject> {
    // One line a transaction: whatever could be lost between two would be.
    let api = Api::start_with(&[("TIDEGATE_IMPORT", "chunk=1")]).await;
    api.create_tenant("acme", "enterprise").await;
    let answer = upload(&api, "acme", content_type, file).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let id = job_id(answer).await;

    let job = api.job_in_state(&id, "done").await;
    assert_eq!(api.titles("acme").await, good);
    let rejects = rejects_file(&api, "acme", &id).await;
    assert_eq!(job["result"], result(good.len(), rejects.len(), &rejects));
    rejects
}

fn assert_rejected(found: &[Reject], expected: &[(u64, &str)]) {
    let numbers: Vec<_> = found.iter().map(|(line, _)| *line).collect();
    assert_eq!(numbers, expected.iter().map(|(line, _)| *line).collect::<Vec<_>>(), "{found:#?}");
    for ((line, reason), (_, wanted)) in found.iter().zip(expected) {
        assert!(reason.contains(wanted), "line {line} is refused because it {reason}, not because it {wanted}");
    }
}
