//! Access, form tokens, and the headers of every response.

use reqwest::Method;

use super::{Visit, location};
use crate::harness::{Api, header, problem};
use crate::start::{ADMIN, READ, TOKENS};

#[tokio::test]
async fn login_by_token_and_out() {
    let api = Api::start_with(&TOKENS).await;
    let mut visit = Visit::new(&api);
    let root = visit.get("/").await;
    assert_eq!((root.status().as_u16(), location(&root).as_str()), (303, "/dashboard"));
    for path in ["/dashboard", "/dashboard/performance", "/dashboard/performance/export?format=csv"] {
        let answer = visit.get(path).await;
        let login = match path {
            "/dashboard" => "/dashboard/login",
            "/dashboard/performance" => "/dashboard/login?next=%2Fdashboard%2Fperformance",
            _ => "/dashboard/login?next=%2Fdashboard%2Fperformance%2Fexport%3Fformat%3Dcsv",
        };
        assert_eq!((answer.status().as_u16(), location(&answer).as_str()), (303, login), "{path}");
    }
    // A script cannot follow a redirect to the login, so it gets an error.
    let live = visit.get("/dashboard/live").await;
    assert_eq!(live.status(), 401);

    let refused = visit.log_in("nobody-knows-this-one").await;
    assert_eq!(refused.status(), 401);
    let page = refused.text().await.unwrap();
    assert!(page.contains("Unknown token") && !page.contains("nobody-knows-this-one"), "{page}");
    assert_eq!(visit.get("/dashboard").await.status(), 303);

    let welcome = visit.log_in(ADMIN).await;
    assert_eq!((welcome.status().as_u16(), location(&welcome).as_str()), (303, "/dashboard"));
    let page = visit.get("/dashboard").await;
    assert_eq!(page.status(), 200);
    let page = page.text().await.unwrap();
    assert!(page.contains("<h1>Overview</h1>") && page.contains(">Admin<") && !page.contains(ADMIN), "{page}");
    let export = visit.get("/dashboard/performance/export?format=csv").await;
    assert_eq!(header(&export, "content-type"), "text/csv; charset=utf-8");

    // The cookie opens nothing but the pages.
    let request = api.request(Method::GET, "/api/queue").header("cookie", visit.cookie());
    problem(request.send().await.unwrap(), 401, "unauthorized").await;

    let form = visit.form("/dashboard").await;
    let bye = visit.post("/dashboard/logout", &[("form", &form)], &[]).await;
    assert_eq!((bye.status().as_u16(), location(&bye).as_str()), (303, "/dashboard/login"));
    assert_eq!(visit.get("/dashboard").await.status(), 303);
}

#[tokio::test]
async fn a_login_goes_on_to_the_page_that_was_wanted() {
    let api = Api::start_with(&TOKENS).await;
    let mut visit = Visit::new(&api);
    let wanted = "/dashboard/queues/import?state=dead";
    let login = location(&visit.get(wanted).await);
    assert_eq!(login, "/dashboard/login?next=%2Fdashboard%2Fqueues%2Fimport%3Fstate%3Ddead");
    let form = visit.form(&login).await;
    let next = "%2Fdashboard%2Fqueues%2Fimport%3Fstate%3Ddead";
    let fields = [("token", ADMIN), ("form", &form), ("next", next)];
    let welcome = visit.post("/dashboard/login", &fields, &[]).await;
    assert_eq!((welcome.status().as_u16(), location(&welcome).as_str()), (303, wanted));
    // To nowhere else.
    for elsewhere in ["https://evil.example/dashboard", "//evil.example", "/dashboard.evil.example", "/api/queue"] {
        let mut visit = Visit::new(&api);
        let form = visit.form(&format!("/dashboard/login?next={elsewhere}")).await;
        let fields = [("token", ADMIN), ("form", &form), ("next", elsewhere)];
        let welcome = visit.post("/dashboard/login", &fields, &[]).await;
        assert_eq!(location(&welcome), "/dashboard", "{elsewhere}");
    }
}

#[tokio::test]
async fn a_link_from_elsewhere_shows_a_page_and_changes_nothing() {
    let api = Api::start().await;
    let link = |path: &str, mode: &'static str, dest: &'static str| {
        let request = api.request(Method::GET, path).header("sec-fetch-site", "cross-site");
        request.header("sec-fetch-mode", mode).header("sec-fetch-dest", dest).send()
    };
    assert_eq!(link("/dashboard/queues", "navigate", "document").await.unwrap().status(), 200);
    for (mode, dest) in [("navigate", "iframe"), ("no-cors", "image"), ("cors", "empty"), ("no-cors", "document")] {
        assert_eq!(link("/dashboard/queues", mode, dest).await.unwrap().status(), 403, "{mode} {dest}");
    }
    assert_eq!(link("/api/queue", "navigate", "document").await.unwrap().status(), 403, "the API is no page");
    let request = api.request(Method::POST, "/dashboard/queues/import/pause").header("sec-fetch-site", "cross-site");
    let request = request.header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "document");
    let answer =
        request.header("content-type", "application/x-www-form-urlencoded").body("form=").send().await.unwrap();
    assert_eq!(answer.status(), 403);
}

#[tokio::test]
async fn an_asset_of_no_name_is_a_problem_as_any() {
    let api = Api::start().await;
    let answer = api.request(Method::GET, "/assets/%ff").send().await.unwrap();
    assert_eq!(answer.status(), 400);
    assert!(!header(&answer, "x-request-id").is_empty());
    assert_eq!(header(&answer, "content-type"), "text/html; charset=utf-8");
}

#[tokio::test]
async fn a_flood_from_an_operators_address_does_not_shut_out_the_operator() {
    let api = Api::start_with(&[&TOKENS[..], &[("TIDEGATE_LIMIT_DDOS", "20/minute")]].concat()).await;
    let (mut visit, mut reader) = (Visit::new(&api), Visit::new(&api));
    visit.log_in(ADMIN).await;
    reader.log_in(READ).await;
    for _ in 0..30 {
        api.request(Method::GET, "/api/queue").send().await.unwrap();
    }
    assert_eq!(reader.get("/dashboard").await.status(), 429);
    let page = visit.get("/dashboard").await;
    assert_eq!(page.status(), 200);
    let page = page.text().await.unwrap();
    let style = page.split("href=\"").filter_map(|part| part.split('"').next()).find(|to| to.ends_with(".css"));
    assert_eq!(visit.get(style.expect("a style sheet")).await.status(), 200);
    // What the session opens not.
    assert_eq!(visit.get("/api/queue").await.status(), 429);
}

#[tokio::test]
async fn a_read_token_may_only_read_and_a_session_is_valid_on_every_instance() {
    let api = Api::start_with(&TOKENS).await;
    let mut visit = Visit::new(&api);
    visit.log_in(READ).await;
    let page = visit.get("/dashboard").await.text().await.unwrap();
    assert!(page.contains(">Read only<"), "{page}");

    let beside = api.start_beside(&TOKENS).await;
    let mut there = Visit::new(&beside);
    there.cookies.clone_from(&visit.cookies);
    assert_eq!(there.get("/dashboard").await.status(), 200);
    // With another token, what was signed with the old one is worth nothing.
    let tokens = [("TIDEGATE_ADMIN_TOKEN", "another-token-0123456789"), ("TIDEGATE_READ_TOKEN", READ)];
    let other = api.start_beside(&tokens).await;
    let mut there = Visit::new(&other);
    there.cookies.clone_from(&visit.cookies);
    assert_eq!(there.get("/dashboard").await.status(), 303);
}

#[tokio::test]
async fn a_foreign_form_is_refused() {
    let api = Api::start_with(&TOKENS).await;
    let mut visit = Visit::new(&api);
    visit.log_in(ADMIN).await;
    let mut other = Visit::new(&api);
    other.log_in(ADMIN).await;
    let (mine, foreign) = (visit.form("/dashboard").await, other.form("/dashboard").await);

    let zeros = "0".repeat(128);
    for token in ["", "zz", &zeros, &foreign] {
        let answer = visit.post("/dashboard/logout", &[("form", token)], &[]).await;
        assert_eq!(answer.status(), 403, "{token}");
        assert_eq!(header(&answer, "content-type"), "text/html; charset=utf-8");
    }
    let evil: [&[(&str, &str)]; 5] = [
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", "https://sub.evil.example")],
        &[("sec-fetch-site", "none")],
    ];
    for headers in evil {
        let answer = visit.post("/dashboard/logout", &[("form", &mine)], headers).await;
        assert_eq!(answer.status(), 403, "{headers:?}");
    }
    for fields in [&[][..], &[("form", mine.as_str()), ("extra", "1")]] {
        assert_eq!(visit.post("/dashboard/logout", fields, &[]).await.status(), 422);
    }
    assert_eq!(visit.get("/dashboard").await.status(), 200, "nothing of it has ended the session");
    // A login also needs the form of this browser, so that no visitor is logged in as another one.
    let mut stranger = Visit::new(&api);
    let form = stranger.form("/dashboard/login").await;
    stranger.cookies.clear();
    let answer = stranger.post("/dashboard/login", &[("token", ADMIN), ("form", &form)], &[]).await;
    assert_eq!(answer.status(), 403);

    let url = api.url.clone();
    let own = [("sec-fetch-site", "same-origin"), ("origin", url.as_str())];
    assert_eq!(visit.post("/dashboard/logout", &[("form", &mine)], &own).await.status(), 303);
}

#[tokio::test]
async fn guessed_tokens_are_counted_as_on_the_operations_routes() {
    let api = Api::start_with(&[("TIDEGATE_ADMIN_TOKEN", ADMIN), ("TIDEGATE_LIMIT_AUTH", "2/minute")]).await;
    let mut visit = Visit::new(&api);
    for status in [401, 401, 429, 429] {
        assert_eq!(visit.log_in("a-guess-that-is-wrong").await.status(), status);
    }
    // A valid token passes, whatever other clients at this address do.
    assert_eq!(visit.log_in(ADMIN).await.status(), 303);
}

#[tokio::test]
async fn without_tokens_the_pages_are_open_to_this_machine_alone() {
    let api = Api::start().await;
    let mut visit = Visit::new(&api);
    assert_eq!(visit.get("/dashboard").await.status(), 200);
    let login = visit.get("/dashboard/login").await;
    assert_eq!((login.status().as_u16(), location(&login).as_str()), (303, "/dashboard"));
    for (name, value) in
        [("x-forwarded-for", "203.0.113.7"), ("host", "tidegate.example"), ("sec-fetch-site", "cross-site")]
    {
        for path in ["/dashboard", "/dashboard/performance", "/dashboard/live", "/dashboard/login"] {
            let answer = api.request(Method::GET, path).header(name, value).send().await.unwrap();
            assert_eq!(answer.status(), 403, "{path} {name}");
            assert!(answer.text().await.unwrap().contains("TIDEGATE_ADMIN_TOKEN"));
        }
    }
}

#[tokio::test]
async fn pages_and_assets_bear_their_headers() {
    let api = Api::start().await;
    let mut visit = Visit::new(&api);
    let page = visit.get("/dashboard").await.text().await.unwrap();
    for inline in [" style=", "<style", "onclick", "<script>", "javascript:", "//cdn", "http://", "https://"] {
        assert!(!page.contains(inline), "{inline}");
    }
    let assets: Vec<&str> = page.split('"').filter(|text| text.starts_with("/assets/")).collect();
    for kind in ["css", "js", "svg"] {
        let path = assets.iter().find(|path| path.ends_with(kind)).expect(kind);
        let answer = visit.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(header(&answer, "cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(visit.get(&path.replace(&format!(".{kind}"), &format!("0.{kind}"))).await.status(), 404);
    }
    for path in ["/", "/dashboard", "/dashboard/performance", "/dashboard/nothing/here", "/dashboard/logout", assets[0]]
    {
        let answer = visit.get(path).await;
        let policy = header(&answer, "content-security-policy");
        for part in
            ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"]
        {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header(&answer, "referrer-policy"), "same-origin", "{path}");
        let cached = header(&answer, "cache-control");
        assert_eq!(cached == "no-store", !path.starts_with("/assets/"), "{path}: {cached}");
    }
}

#[tokio::test]
async fn a_problem_is_a_page_with_its_request() {
    let api = Api::start().await;
    for (method, path, status) in [
        (Method::GET, "/dashboard/nothing/here", 404),
        (Method::GET, "/dashboard/logout", 405),
        (Method::PUT, "/dashboard", 405),
        (Method::GET, "/dashboard/performance/export?format=xml", 422),
    ] {
        let answer = api.request(method, path).header("x-request-id", "look-for-me").send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(header(&answer, "content-type"), "text/html; charset=utf-8", "{path}");
        let page = answer.text().await.unwrap();
        assert!(page.contains("look-for-me") && page.contains("<h1>"), "{page}");
    }
    // The path is shown as text.
    let answer = api.request(Method::GET, "/dashboard/%3Cscript%3Ealert(1)%3C/script%3E").send().await.unwrap();
    assert!(!answer.text().await.unwrap().contains("<script>alert"));
}
