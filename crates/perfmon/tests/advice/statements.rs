//! Rules about statements.

use crate::support::{only, repeating, silent, trace};

#[test]
fn batch_fires() {
    let advice = only("batch", "SELECT a FROM t WHERE id = ?", &trace(repeating));
    assert_eq!(advice.gain, "Up to 39 round trips less in such a request.");
}

#[test]
fn batch_near_miss() {
    silent(&trace(|signals| {
        repeating(signals);
        signals.queries[0].most_in_a_request = 5; // as often as may be
    }));
    let mut once = trace(|_| ());
    once[34].queries[0].most_in_a_request = 40;
    once[34].queries[0].repeated_in = 2; // hardly a habit
    silent(&once);
}

#[test]
fn heaviest_query_fires() {
    let advice =
        only("heaviest-query", "SELECT b FROM u WHERE id = ?", &trace(|signals| signals.queries[1].total = 6.0));
    assert_eq!(advice.gain, "Up to 50 % of the time that all statements take.");
}

#[test]
fn statements_without_rows_are_never_the_heaviest() {
    for text in ["commit", "begin immediate", "rollback", "savepoint a", "release a", "pragma wal_checkpoint (?)"] {
        silent(&trace(|signals| {
            signals.queries[1].fingerprint = text.to_owned();
            signals.queries[1].total = 6.0;
        }));
    }
}

#[test]
fn heaviest_query_near_miss() {
    silent(&trace(|signals| signals.queries[1].total = 2.5)); // 29 %
    silent(&trace(|signals| {
        signals.queries.iter_mut().for_each(|query| query.total = 0.02); // idle
        signals.queries[1].total = 0.9;
    }));
}
