//! Which statement does a request run again and again, and which takes most of the database's time?

#![allow(clippy::print_stdout, reason = "it prints the answer")]

use std::time::Duration;

use tidegate_perfmon::{By, Dialect, Queries, RequestQueries, Seen};

pub(crate) fn main() {
    let queries = Queries::default();
    let run = |sql: &str, millis: u64, request: &RequestQueries| {
        queries.record(&Seen {
            sql,
            dialect: Dialect::Postgres,
            elapsed: Duration::from_millis(millis),
            rows: 1,
            at_unix_ms: 1_700_000_000_000,
            within: Some(request),
            trace: None,
        });
    };
    for user in 0..3 {
        let request = RequestQueries::new();
        run(&format!("SELECT id FROM orders WHERE email = 'user{user}@example.org'"), 40, &request);
        for order in 0..20 {
            run(&format!("SELECT * FROM item WHERE order_id = {order}"), 1, &request);
        }
        queries.finish("/orders", &request, 1_700_000_000_000, None);
    }

    let repeated = queries.repeated(10);
    println!("{} runs {} times: {}", repeated[0].route, repeated[0].most, repeated[0].text);
    assert_eq!((repeated[0].most, repeated[0].text.as_str()), (20, "select * from item where order_id = ?"));
    let heaviest = &queries.top(By::Total, 1)[0];
    println!("{:.0} % of the time: {}", heaviest.share * 100.0, heaviest.text);
    assert!(!heaviest.text.contains("example.org"), "no value is kept");
}
