//! The shape of a statement, counting one that has run, masking a line.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput};
use tidegate_benches::brief;
use tidegate_perfmon::{By, Dialect, Queries, Seen, fingerprint, mask};

/// About 200 bytes, with what such statements have: names, a join, strings, a list, numbers.
const STATEMENT: &str = "SELECT schedule.id, schedule.tenant_id, name, created_at FROM schedule JOIN tenant ON tenant.id = \
                         schedule.tenant_id WHERE tenant.plan = 'basic' AND kind IN (1, 2, 3) AND created_at > 1700000000 LIMIT 50";

fn main() {
    let mut criterion = brief(Duration::from_secs(2));
    shapes(&mut criterion);
    records(&mut criterion);
    masks(&mut criterion);
    criterion.final_summary();
}

fn shapes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(format!("fingerprint of {} B", STATEMENT.len()));
    group.throughput(Throughput::Bytes(STATEMENT.len() as u64));
    for dialect in [Dialect::Sqlite, Dialect::Postgres] {
        let mut text = String::new();
        group.bench_function(format!("{dialect:?}"), |bencher| {
            bencher.iter(|| fingerprint(black_box(STATEMENT), dialect, &mut text));
        });
    }
    group.bench_function("cut in a literal", |bencher| {
        let mut text = String::new();
        let cut = &STATEMENT[..STATEMENT.find("sic'").expect("it is there")];
        bencher.iter(|| fingerprint(black_box(cut), Dialect::Sqlite, &mut text));
    });
}

fn seen(sql: &str) -> Seen<'_> {
    let elapsed = Duration::from_micros(80);
    Seen { sql, dialect: Dialect::Sqlite, elapsed, rows: 1, at_unix_ms: 0, within: None, trace: None }
}

fn records(criterion: &mut Criterion) {
    let queries = Queries::default();
    let mut group = criterion.benchmark_group("record a statement");
    group.bench_function("its text is known", |bencher| bencher.iter(|| queries.record(&seen(black_box(STATEMENT)))));
    let mut number = 0;
    let mut text = |before: &str| {
        number += 1;
        format!("{before} OFFSET {number}")
    };
    group.bench_function("its text is new, its shape is known", |bencher| {
        bencher.iter_batched(|| text(STATEMENT), |sql| queries.record(&seen(&sql)), BatchSize::SmallInput);
    });
    let mut letters = 0_usize;
    let mut shape = || {
        letters += 1;
        let name: String = format!("{letters:08}").bytes().map(|digit| char::from(digit - b'0' + b'g')).collect();
        format!("SELECT {name} FROM schedule")
    };
    for _ in 0..2_000 {
        queries.record(&seen(&shape()));
    }
    group.bench_function("its shape is new, all places are taken", |bencher| {
        bencher.iter_batched(&mut shape, |sql| queries.record(&seen(&sql)), BatchSize::SmallInput);
    });
    group.bench_function("the first 20 of 1,000 shapes", |bencher| bencher.iter(|| queries.top(By::Total, 20)));
}

fn masks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mask");
    for (name, line) in [
        (
            "nothing to mask",
            "GET /api/schedules/{id} took 512 ms, request 0193b2c4-8d3e-7b8f-9a66-2f1f3a5b7c9d, 3 of 40 were slow",
        ),
        (
            "four secrets",
            "login?user=ada@example.org&password=hunter2, Authorization: Bearer abc, postgres://ada:secret@db/x",
        ),
    ] {
        group.throughput(Throughput::Bytes(line.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| mask(black_box(line))));
    }
}
