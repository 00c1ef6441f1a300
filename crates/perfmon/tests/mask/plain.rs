//! What is no secret stays.

use std::borrow::Cow;

use tidegate_perfmon::mask;

#[test]
fn words_of_plans_databases_and_tests_stay() {
    for text in [
        "plan basic has 120, basic 120, Basic plan, basic tier-2, a basic read-only check, basic and premium, BASIC HTTP",
        "Digest mismatch, digest of the body, negotiate encoding, Negotiate: failed, digest size=5",
        "bearer of the key, Bearer token expired, the bearer authentication failed, Bearer is missing, ApiKey required",
        "wrote to the bearer\nhost: db",
        "near \"token\": syntax error, near \"password\": syntax error at 5",
        "session: started, session: ended, sessions: closed, token: expired, refresh token: invalid, signature: valid",
        "test pass: ok, test pass: failed. pin: ok",
        "pk_schedules, pk_schedule_2, sk_tenant_id, SK_TENANT_ID, rk_regions_by_name, hf_transfer, sk-learning",
        "cache key=tenants, primary key=tenant_id, sort key=name, Partition key=abc",
        "token = ? and secret = ?1 and password = $1 and api_key = $2::text and (token=?)",
        "services/TENANTS/BILLING/invoices, services/TENANTS/BILLING/INVOICES/2026",
        "login <user> <password> now, Option<Token>, Vec<Secret> of <token/>, found <key>tenants</key><code>NoSuchKey</code>",
        "ordered by 'name', identified by name, a[0]=5, tokens[0]=5, costs $5 and $10",
        "[4111,1111,1111,1111,1111] 3000,4000,5000,6001 2026/11/22 4111/1111/1111/1111/1111 1111,4111,1111,1111,1111",
        "p50  p95  p99\n512  1024  2048\n640  1280  2560",
        "https://outlook.office.com/mail/inbox https://zapier.com/hooks/catch",
    ] {
        assert!(matches!(mask(text), Cow::Borrowed(same) if same == text), "{}", mask(text));
    }
}

#[test]
fn text_without_secrets_stays_and_costs_no_allocation() {
    for text in [
        "",
        "GET /api/schedules/{id} took 512 ms, 3 of 40 were slow",
        "select name from users where id = ? and kind = ?",
        "https://db.example.org:8443/path?page=2#top and http://[::1]:80/",
        "2026-11-22T08:00:00Z request 0193b2c4-8d3e-7b8f-9a66-2f1f3a5b7c9d at 1763798400123",
        "4111 1111 1111 1112 is no card, nor is 12345678901234567890123",
        "the compass passed 3 designs: passes=2, pins=4",
        "4 @ 5, a tokenless basics, max_tokens=5, __unmatched__",
        "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
        // Names that end like one of a secret, and what is no key behind `key`, `auth` and `code`.
        "monkey=george, keyboard=dvorak, turkey: 5, hotkey=F5, donkey=a1b2c3d4e5f6a7b8c9",
        "primary_key=id, cache_key=schedule:42, foreignKey=user, public_key=ssh-ed25519",
        "key: schedules, key=5, auth=none, auth: basic, \"key\":\"tenant-123\"",
        "select name from t where key = ? and u.key = t.key and auth = $1 and \"key\" = ?",
        "status_code=200 exit_code=1 error_code=23505 code=404 code: \"not_found\" code=ENOENT statusCode=503 code: E0308",
        "tokens=5, tokens: 12.5, max_tokens=4,096 tokens=null sessions=Some(3) sessions: 40, tokens_left 3",
        // Words that begin like a key, or follow a scheme that is one.
        "token bucket 100, the token expired, Token refreshed after 3 tries, oauth login, tokens per second",
        "asia-northeast1, ASIA, ASIAPACIFIC, npm_config_registry, npm_lifecycle_event, sg.example.org, SG.Company.Name",
        "robot:5, bot 1234567: started, services/tenant/42/abc, api/webhooks/list",
        // Numbers.
        "0193b2c4-8d3e-7b8f-9a66-2f1f3a5b7c9d 550e8400-e29b-41d4-a716-446655440000",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "1.2.3, v10.20.30-rc.1+build.5, 10.0.0.1:8080, [2001:db8::1]:443, rustc 1.91.0 (f8297e351 2025-10-28)",
        "2026-11-22T08:00:00.123456789Z 2026.11.22.08.00.00.123 20261122080009 20261122_080006_12 22/Nov/2026:08:00:00 +0000",
        "1763798400 1763798400123 1763798400123456 1763798400123456789",
        "0.4111111111111111 took 5.5555555555554444 s, 2.718281828459045, 3.141592653589793, 6.02214076e23",
        "SELECT \"id\", COUNT(*) FROM schedule AS s JOIN pk ON s.id = pk.id WHERE s.at >= $1 AND x = ANY($2) LIMIT 50 -- 3",
        "tidegate_http_request_seconds_bucket{endpoint=\"GET /api/schedules/{id}\",le=\"0.1\"} 512",
        "job imports:0193b2c48d3e7b8f9a662f1f3a5b7c9d attempt 2 of 3, queue=import kind=schedules",
        "DE89370400440532013001, DE8937040044053201300, XX89370400440532013000, de12 of 34 at 5678",
        "100% of 50%, caf%C3%A9%20de%20la%20gare, from=2026-11-22T08%3A00%3A00Z, C:\\users\\ada, 5%2",
    ] {
        assert!(matches!(mask(text), Cow::Borrowed(same) if same == text), "{}", mask(text));
    }
}
