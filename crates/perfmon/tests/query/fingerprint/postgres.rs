//! The real `pg_stat_statements` puts the same statements together.

use std::collections::HashMap;
use std::fmt::Write as _;

use tidegate_perfmon::{Dialect, Fingerprint, fingerprint};
use tidegate_testkit::PostgresServer;

const TABLES: &str = "
    CREATE TABLE users (id int PRIMARY KEY, name text, email text, balance numeric, big bigint, active boolean, born date, tags text[], data jsonb);
    CREATE TABLE orders (id int PRIMARY KEY, user_id int, price numeric(10,2), placed timestamptz, note text);
    CREATE TABLE \"Mixed\" (id int, \"Name\" text);
    INSERT INTO users SELECT n, 'n' || n, n || '@x', n, n, true, '2000-01-01', '{a,b}', '{\"k\":1}' FROM generate_series(1, 20) n;
";

/// Statements with placeholders: `{i}` an integer, `{p}` a positive one, `{n}` a number with a
/// point, `{s}` a text, `{d}` a date, `{b}` a boolean.
///
/// These are left out on purpose, because the text does not show what the server does: lists after
/// `IN` of different lengths (equal here, and there from version 18), aliases (different here),
/// positions in `ORDER BY` (equal here), parameters beside literals (equal here), literals of
/// different types (equal here, so each placeholder keeps its type), and a minus before a value
/// that is cast.
const SHAPES: &[&str] = &[
    "SELECT {i}",
    "SELECT id FROM users",
    "SELECT id, name FROM users",
    "SELECT name, id FROM users",
    "SELECT * FROM users",
    "SELECT id FROM users WHERE id = {i}",
    "SELECT id FROM users WHERE id <> {i}",
    "SELECT id FROM users WHERE id < {i}",
    "SELECT id FROM users WHERE id <= {i}",
    "SELECT id FROM users WHERE id = {i} AND name = {s}",
    "SELECT id FROM users WHERE id = {i} OR name = {s}",
    "SELECT id FROM users WHERE NOT (id = {i} OR name = {s})",
    "SELECT id FROM users WHERE name LIKE {s}",
    "SELECT id FROM users WHERE name ILIKE {s}",
    "SELECT id FROM users WHERE name ~ {s}",
    "SELECT id FROM users WHERE name IS NULL",
    "SELECT id FROM users WHERE name IS NOT NULL",
    "SELECT id FROM users WHERE active = {b}",
    "SELECT id FROM users WHERE active IS TRUE",
    "SELECT id FROM users WHERE active IS NOT TRUE",
    "SELECT id FROM users WHERE born = {d}",
    "SELECT id FROM users WHERE balance > {n}",
    "SELECT id FROM users WHERE balance > {n} + {n}",
    "SELECT id FROM users WHERE id BETWEEN {i} AND {i}",
    "SELECT id FROM users WHERE id IN ({i}, {i}, {i})",
    "SELECT id FROM users WHERE id NOT IN ({i}, {i}, {i})",
    "SELECT id FROM users WHERE id = ANY (ARRAY[{i}, {i}])",
    "SELECT id FROM users WHERE tags @> ARRAY[{s}]",
    "SELECT id FROM users WHERE data ->> {s} = {s}",
    "SELECT id FROM users WHERE data -> {s} = {s}::jsonb",
    "SELECT id FROM users WHERE data ? {s}",
    "SELECT id FROM users WHERE data @> {s}::jsonb",
    "SELECT id, tags[{i}] FROM users",
    "SELECT id, tags[{i}:{i}] FROM users",
    "SELECT count(*) FROM users",
    "SELECT count(DISTINCT name) FROM users WHERE id > {i}",
    "SELECT name, count(*) FROM users GROUP BY name HAVING count(*) > {i}",
    "SELECT id FROM users ORDER BY id LIMIT {p}",
    "SELECT id FROM users ORDER BY id DESC LIMIT {p}",
    "SELECT id FROM users ORDER BY id LIMIT {p} OFFSET {p}",
    "SELECT id FROM users ORDER BY id NULLS FIRST LIMIT {p}",
    "SELECT users.id, orders.price FROM users JOIN orders ON orders.user_id = users.id WHERE users.id = {i}",
    "SELECT users.id, orders.price FROM users LEFT JOIN orders ON orders.user_id = users.id WHERE users.id = {i}",
    "SELECT id FROM users WHERE EXISTS (SELECT FROM orders WHERE orders.user_id = users.id AND price > {n})",
    "SELECT id FROM users WHERE id IN (SELECT user_id FROM orders WHERE price > {n})",
    "SELECT id FROM users WHERE id = {i} UNION SELECT id FROM orders WHERE id = {i}",
    "SELECT id FROM users WHERE id = {i} UNION ALL SELECT id FROM orders WHERE id = {i}",
    "WITH rich AS (SELECT id FROM users WHERE balance > {n}) SELECT id FROM rich WHERE id < {i}",
    "SELECT CASE WHEN id = {i} THEN {s} ELSE name END FROM users",
    "SELECT coalesce(name, {s}), lower(name) || {s} FROM users",
    "SELECT id::text, balance::int FROM users WHERE id = {i}",
    "SELECT extract(year FROM born) FROM users WHERE born > {d}",
    "SELECT row_number() OVER (PARTITION BY active ORDER BY id) FROM users WHERE id > {i}",
    "SELECT id FROM users WHERE id = {i} FOR UPDATE",
    "SELECT id FROM users WHERE id = {i} FOR UPDATE SKIP LOCKED",
    "SELECT \"Name\" FROM \"Mixed\" WHERE \"Name\" = {s}",
    "INSERT INTO orders (id, user_id, note) VALUES ({i}, {i}, {s}) ON CONFLICT DO NOTHING",
    "INSERT INTO orders (id, user_id, note) VALUES ({i}, {i}, {s}) ON CONFLICT (id) DO UPDATE SET note = excluded.note",
    "INSERT INTO orders (id, note) SELECT id, {s} FROM users WHERE id = {i} ON CONFLICT DO NOTHING",
    "INSERT INTO orders (id, price) VALUES ({i}, {n}) ON CONFLICT DO NOTHING RETURNING id",
    "UPDATE users SET name = {s} WHERE id = {i}",
    "UPDATE users SET name = {s}, balance = balance + {n} WHERE id = {i}",
    "UPDATE users SET balance = balance - {n} WHERE id = {i} RETURNING balance",
    "UPDATE orders SET note = users.name FROM users WHERE users.id = orders.user_id AND orders.id = {i}",
    "DELETE FROM orders WHERE id = {i}",
    "DELETE FROM orders WHERE id = {i} AND note = {s}",
    "DELETE FROM orders USING users WHERE users.id = orders.user_id AND users.name = {s}",
    "VALUES ({i}, {s})",
];

/// One statement with other values, and written in another way.
fn variant(shape: &str, number: usize) -> String {
    let mut sql = String::new();
    let mut rest = shape;
    let mut place = 0;
    while let Some((before, behind)) = rest.split_once('{') {
        let kind = &behind[..1];
        let pick = (place + number) % 4;
        sql.push_str(before);
        sql.push_str(match kind {
            "i" => ["1", "-7", "2000", "3"][pick],
            "p" => ["1", "20", "300", "4"][pick],
            "n" => ["1.5", "-2.25", "10.0", "1e-3"][pick],
            "s" if before.ends_with("@> ") || behind[2..].starts_with("::jsonb") => {
                ["'{}'", "'{\"a\":\"it''s\"}'", "E'{\\\"b\\\":1}'", "$$[1]$$"][pick]
            }
            "s" => ["'x'", "'it''s -- no comment'", "E'a\\'b'", "$tag$a 'b' $$c$tag$"][pick],
            "d" => ["'2026-01-01'", "'1999-12-31'", "'2000-02-29'", "'infinity'"][pick],
            "b" => ["true", "false", "TRUE", "False"][pick],
            kind => panic!("no kind {kind}"),
        });
        place += 1;
        rest = &behind[2..];
    }
    sql.push_str(rest);
    match number % 6 {
        0 => sql,
        1 => sql.replace(" WHERE ", "\n\t WHERE  ").replace(" FROM ", " /* of /* all */ */ FROM "),
        2 => outside_of_quotes(&sql, str::to_lowercase) + " ;",
        3 => outside_of_quotes(&sql, |text| text.replace(" = ", "=").replace(", ", ",").replace(" <> ", " != ")),
        4 => sql.replace(" FROM ", " -- where from\nFROM ").replace(" users ", " \"users\" "),
        _ => {
            outside_of_quotes(&sql, |text| text.replace("select", "SELECT").replace("FROM", "from").replace("(", "( "))
        }
    }
}

/// Changes what is no literal and no name in quotes.
fn outside_of_quotes(sql: &str, change: impl Fn(&str) -> String) -> String {
    if sql.contains(['$', '\\']) {
        return sql.to_owned(); // other quotes: left as they are
    }
    let mut result = String::new();
    for (number, part) in sql.split(['\'', '"']).enumerate() {
        let start = part.as_ptr() as usize - sql.as_ptr() as usize;
        if start > 0 {
            result.push_str(&sql[start - 1..start]);
        }
        result.push_str(&if number.is_multiple_of(2) { change(part) } else { part.to_owned() });
    }
    result
}

#[tokio::test]
async fn postgres_groups_as_we_do() {
    let server = PostgresServer::start(&[("shared_preload_libraries", "pg_stat_statements")]).await;
    let statements: Vec<String> =
        SHAPES.iter().flat_map(|shape| (0..12).map(|number| variant(shape, number))).collect();

    let mut script = format!("CREATE EXTENSION pg_stat_statements; {TABLES}\n");
    for statement in &statements {
        let statement = statement.trim_end_matches([';', ' ']);
        writeln!(
            script,
            "SELECT pg_stat_statements_reset() \\g /dev/null\n{statement} \\g /dev/null\n\
             SELECT 'shape', queryid FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%';"
        )
        .unwrap();
    }
    let printed = server.psql(&script).await;
    server.stop().await;
    let theirs: Vec<&str> = printed.lines().filter_map(|line| line.strip_prefix("shape|")).collect();
    assert_eq!(theirs.len(), statements.len(), "{printed}");

    let mut text = String::new();
    let (mut to_ours, mut to_theirs) = (HashMap::<&str, (Fingerprint, &str)>::new(), HashMap::<_, (&str, &str)>::new());
    for (sql, theirs) in statements.iter().zip(theirs) {
        let ours = fingerprint(sql, Dialect::Postgres, &mut text);
        assert!(!text.ends_with('…'), "not read: {sql}");
        let (known, other) = *to_ours.entry(theirs).or_insert((ours, sql));
        assert_eq!(known, ours, "together there, apart here:\n  {sql}\n  {other}");
        let (known, other) = *to_theirs.entry(ours).or_insert((theirs, sql));
        assert_eq!(known, theirs, "together here, apart there:\n  {sql}\n  {other}\n  {text}");
    }
    assert_eq!(to_ours.len(), SHAPES.len());
}
