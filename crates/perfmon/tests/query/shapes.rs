//! Which shape a statement has.

use tidegate_perfmon::{Dialect, fingerprint};

pub(crate) fn shape(sql: &str, dialect: Dialect) -> String {
    let mut text = String::new();
    fingerprint(sql, dialect, &mut text);
    text
}

#[track_caller]
fn assert_shapes(dialect: Dialect, expected: &[(&str, &str)]) {
    for (sql, expected) in expected {
        assert_eq!(shape(sql, dialect), *expected, "{sql}");
    }
}

#[test]
fn both_dialects() {
    for dialect in [Dialect::Sqlite, Dialect::Postgres] {
        assert_shapes(
            dialect,
            &[
                ("SELECT 1", "select ?"),
                ("  select\n\t1 ; ", "select ?"),
                ("select -5, - 5, a - 5, a-5, (-.5), 1e-3, 0xFF, 1_000", "select ?, ?, a - ?, a - ?, (?), ?, ?, ?"),
                (
                    "SELECT count(*) FROM t WHERE a='it''s' AND b<>1.5e10",
                    "select count(*) from t where a = ? and b <> ?",
                ),
                (
                    "SELECT * FROM T t1 WHERE T1.A != 'x' -- said it\n AND /* no */ b = 2",
                    "select * from t t1 where t1.a <> ? and b = ?",
                ),
                ("SELECT a FROM t WHERE b IN (1,2, 3) AND c in ('x')", "select a from t where b in (?) and c in (?)"),
                ("SELECT a FROM t WHERE (b,c) IN ((1,2),(3,4),(5,6))", "select a from t where (b, c) in ((?, ?))"),
                ("SELECT a FROM t WHERE b NOT IN (1, c, 2, 3 + 4)", "select a from t where b not in (?, c, ? + ?)"),
                (
                    "SELECT a FROM t WHERE b IN (SELECT c FROM u WHERE d IN (1,2))",
                    "select a from t where b in (select c from u where d in (?))",
                ),
                (
                    "INSERT INTO t (a,b) VALUES (1,'x'),(2,'y') , (3,'z') ON CONFLICT DO NOTHING",
                    "insert into t(a, b) values (?, ?) on conflict do nothing",
                ),
                (
                    "INSERT INTO t VALUES (1, now()), (2, now()), (3, lower('X'))",
                    "insert into t values (?, now()), (?, lower(?))",
                ),
                ("INSERT INTO t DEFAULT VALUES RETURNING id, a", "insert into t default values returning id, a"),
                (
                    "UPDATE t SET a = NULL, b = TRUE WHERE c IS NULL AND d IS NOT NULL",
                    "update t set a = ?, b = ? where c is null and d is not null",
                ),
                ("BEGIN; DELETE FROM t; COMMIT;", "begin; delete from t; commit"),
                (
                    "WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x+1 FROM n) SELECT x FROM n LIMIT 10",
                    "with recursive n(x) as (values (?) union all select x + ? from n) select x from n limit ?",
                ),
                ("SELECT CASE WHEN a THEN 1 ELSE 2 END - 3", "select case when a then ? else ? end - ?"),
                ("SELECT größe FROM straße", "select größe from straße"),
                ("SELECT a FROM events_20260101", "select a from ?"),
                ("SELECT a->>'k' || b FROM t", "select a ->> ? || b from t"),
                ("SELECT t.values FROM t", "select t.values from t"),
                ("EXPLAIN SELECT 1", "explain select ?"),
                ("SET application_name = secret_word", "set application_name = ?"),
                ("ALTER TABLE t RENAME TO secret_word", "alter table t rename to ?"),
            ],
        );
    }
}

#[test]
fn postgres() {
    assert_shapes(
        Dialect::Postgres,
        &[
            (r"SELECT E'it\'s', e'\\', U&'d\0061t', B'01', X'1F', N'x' FROM t", "select ?, ?, ?, ?, ?, ? from t"),
            (r"SELECT 'C:\' FROM t WHERE a = 'x'", "select ? from t where a = ?"),
            ("SELECT $$it's$$, $tag$ $$ $other$ ' $tag$, $1", "select ?, ?, ?"),
            ("SELECT 1 /* a /* b */ c */ FROM t", "select ? from t"),
            ("SELECT 'a'\n  'b' FROM t", "select ? from t"),
            (
                "SELECT a::int4[], b :: text, c[1], d[1:2], ARRAY[1,2,3]",
                "select a::int4[], b::text, c[?], d[? : ?], array[?]",
            ),
            ("SELECT a ? 'k', a ?| b, a ?& b, a @> '{}', @ -5", "select a ? ?, a ?| b, a ?& b, a @> ?, @ ?"),
            (
                r#"SELECT "id", "Id", "select", "a b", "a-b", U&"x" FROM "t" "#,
                r#"select id, "Id", "select", ?, ?, ? from t"#,
            ),
            ("SELECT a FROM t WHERE b=-1 AND c>=-2 AND d@-3", "select a from t where b = ? and c >= ? and d @- ?"),
            (
                "SELECT a FROM t WHERE b = ANY($1) AND c::date = DATE '2026-01-01'",
                "select a from t where b = any (?) and c::date = date ?",
            ),
            ("SELECT f(a => 1, b := 2)", "select f(a => ?, b := ?)"),
            ("SET LOCAL app.token TO secret_word, other", "set local app.token to ?, ?"),
        ],
    );
}

#[test]
fn sqlite() {
    assert_shapes(
        Dialect::Sqlite,
        &[
            ("SELECT ?, ?12, :name, @name, $name, a=?, b=@x", "select ?, ?, ?, ?, ?, a = ?, b = ?"),
            ("SELECT x'1F', X'' FROM t", "select ?, ? from t"),
            (r#"SELECT "secret" FROM "t" JOIN "Tasks" ON a = "secret""#, r#"select ? from t join "Tasks" on a = ?"#),
            (r#"SELECT "t"."id", t."id", "t".id FROM main."t""#, "select t.id, t.id, t.id from main.t"),
            (
                r#"SELECT a FROM t WHERE a = "secret" AND b IS NOT DISTINCT FROM "secret""#,
                "select a from t where a = ? and b is not distinct from ?",
            ),
            (r#"INSERT INTO "t" ("a", "b") VALUES ("secret", 1)"#, "insert into t(?, ?) values (?, ?)"),
            ("SELECT `a`, [b], [c d] FROM `t` WHERE a == 1", "select a, b, ? from t where a = ?"),
            ("PRAGMA journal_mode = WAL", "pragma journal_mode = ?"),
            ("PRAGMA key(secret_word)", "pragma key(?)"),
            ("ATTACH DATABASE 'x' AS y KEY secret_word", "attach ? ? ? ? ? ?"),
            ("SELECT 1 /* a /* b */ FROM t", "select ? from t"),
        ],
    );
}

#[test]
fn an_unreadable_statement_becomes_its_first_keywords() {
    for (sql, expected) in [
        ("", " …"),
        (" -- nothing", " …"),
        ("SELECT a FROM t WHERE b = 'cut", "select from where …"),
        ("SELECT a FROM t WHERE b = 'a'b'", "select from where …"),
        ("SELECT a FROM t WHERE (b = 1", "select from where …"),
        ("SELECT a FROM t WHERE b = 1)", "select from where …"),
        ("SELECT a FROM t WHERE b = (1]", "select from where …"),
        ("SELECT a /* cut", "select …"),
        ("SELECT a */ b", "select …"),
        ("SELECT a FROM t WHERE b = 12ab", "select from where …"),
        ("SELECT a FROM t WHERE b = \u{2019}x\u{2019}", "select from where …"),
        ("SELECT a -- it's", "select …"),
        ("SELECT a /* it's */", "select …"),
        ("SELECT \"a'b\" FROM t", "select …"),
        ("SELECT a$b FROM t", "select …"),
        ("SELECT a\0", "select …"),
        ("SELECT a \\ b", "select …"),
        ("secret FROM t", "from …"),
        ("SELECT a . 'x'", "select …"),
    ] {
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            assert_eq!(shape(sql, dialect), expected, "{sql} {dialect:?}");
        }
    }
    assert_eq!(shape("SELECT $tag$ cut $tag", Dialect::Postgres), "select …");
    assert_eq!(shape("SELECT $ FROM t", Dialect::Postgres), "select …");
    assert_eq!(shape("SELECT 'it\\'s' FROM t", Dialect::Postgres), "select …");
    assert_eq!(shape("SELECT a FROM `t", Dialect::Sqlite), "select from …");
}

#[test]
fn long_statements_are_cut_and_stay_distinct() {
    let long = |last: &str| format!("SELECT {} FROM {last}", vec!["größe"; 2_000].join(","));
    let mut text = String::new();
    let one = fingerprint(&long("a"), Dialect::Postgres, &mut text);
    assert!(text.len() <= 4_096 && text.ends_with(" …"), "{} bytes", text.len());
    assert_ne!(one, fingerprint(&long("b"), Dialect::Postgres, &mut text));

    let rows = format!("INSERT INTO t VALUES {}(9)", "(1),".repeat(200_000));
    assert_eq!(shape(&rows, Dialect::Sqlite), "insert into t values (?)");
    let endless = format!("SELECT {}", "a,".repeat(1 << 20));
    assert_eq!(shape(&endless, Dialect::Sqlite), "select …");
    let deep = format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000));
    assert!(shape(&deep, Dialect::Postgres).starts_with("select (((("));
}

#[test]
fn the_text_of_a_shape_has_that_shape() {
    for sql in [
        "SELECT a, b FROM t WHERE c IN (1, 2) AND d = 'x' ORDER BY a LIMIT 5",
        "INSERT INTO t (a, b) VALUES (1, 2), (3, 4) ON CONFLICT (a) DO UPDATE SET b = excluded.b",
        "UPDATE t SET a = NULL WHERE b IS NOT NULL",
    ] {
        let once = shape(sql, Dialect::Sqlite);
        assert_eq!(shape(&once, Dialect::Sqlite), once);
    }
}

#[test]
fn nothing_is_allocated_where_the_text_has_room() {
    let sql =
        "SELECT id, tenant_id, name FROM schedule WHERE tenant_id = 'acme' AND id IN (1, 2, 3) ORDER BY id LIMIT 50";
    for sql in [sql, &sql[..60]] {
        let mut text = String::with_capacity(1_024);
        let used = allocation_counter::measure(|| {
            fingerprint(sql, Dialect::Sqlite, &mut text);
        });
        assert_eq!(used.count_total, 0, "{text}");
    }
}
