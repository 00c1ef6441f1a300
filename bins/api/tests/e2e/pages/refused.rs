//! Refused forms come back on their page, with a message beside the field and the typed values.

use serde_json::json;

use super::{Visit, hidden};
use crate::harness::{Api, success_json};

/// The page that a form comes back on.
async fn refused(visit: &mut Visit<'_>, from: &str, path: &str, fields: &[(&str, &str)]) -> String {
    let form = visit.form(from).await;
    let fields: Vec<_> = fields.iter().copied().chain([("form", form.as_str())]).collect();
    let answer = visit.post(path, &fields, &[]).await;
    assert_eq!(answer.status(), 422, "{path} {fields:?}");
    assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
    answer.text().await.expect("a page")
}

/// Returns the element with this id, and the markup between its label and itself.
fn field(page: &str, id: &str) -> String {
    let (_, label) = page.split_once(&format!("<label for=\"{id}\"")).expect("a field with this id");
    let (before, element) = label.split_once(&format!(" id=\"{id}\"")).expect("its input");
    format!("{before}{}", element.split('>').next().expect("its end"))
}

/// An input's name or id, and its value.
type Input<'a> = (&'a str, &'a str);
/// A page, its form and fields; the field that is wrong, and others that must be kept.
type RefusedForm<'a> = (&'a str, &'a str, Vec<Input<'a>>, Input<'a>, &'a [Input<'a>]);

const NAVIGATION: &str = "<nav aria-label=\"Dashboard\">";

#[tokio::test]
async fn a_refused_form_comes_back_with_its_input_and_the_message() {
    let api = Api::start_with(&[("TIDEGATE_WORKER", "none")]).await;
    api.create_tenant("acme", "free").await;
    let mut visit = Visit::new(&api);
    let (limits, cache, queue) = ("/dashboard/limits", "/dashboard/cache", "/dashboard/queues/import");
    let key = [("limiter", "report"), ("key", "k")];
    let plan = [("tenant", "acme"), ("tier", "premium"), ("per_hour", "70"), ("per_day", ""), ("max_users", "")];
    let forms: [RefusedForm<'_>; 8] = [
        (limits, "/quota", vec![("limiter", "report"), ("quota", "often")], ("quota-text", "often"), &[]),
        (limits, "/block", [&key[..], &[("seconds", "1e3")]].concat(), ("block-seconds", "1e3"), &[("key", "k")]),
        (limits, "/block", [&key[..], &[("seconds", "0"), ("sure", "yes")]].concat(), ("block-seconds", "0"), &[]),
        (
            limits,
            "/plan",
            [&plan[..], &[("per_minute", "many")]].concat(),
            ("per_minute", "many"),
            &[("per_hour", "70")],
        ),
        (cache, "/warm-up", vec![("class", "tenant"), ("limit", "0")], ("warm-limit", "0"), &[]),
        (cache, "/warm-up", vec![("class", "tenant"), ("limit", "few")], ("warm-limit", "few"), &[]),
        (cache, "/invalidate", vec![("pattern", "[a")], ("pattern", "[a"), &[]),
        (queue, "/clean", vec![("state", "dead"), ("hours", "-1")], ("clean-age", "-1"), &[]),
    ];
    for (from, form, fields, (id, typed), kept) in forms {
        let shown = refused(&mut visit, from, &format!("{from}{form}"), &fields).await;
        assert!(shown.contains(NAVIGATION) && shown.contains(&format!("href=\"{from}")), "{form}: {shown}");
        let wrong = field(&shown, id);
        assert!(wrong.contains("role=\"alert\"") && wrong.contains("aria-describedby"), "{form}: {wrong}");
        assert!(wrong.contains(&format!("value=\"{typed}\"")), "{form}: {wrong}");
        assert_eq!(shown.matches("role=\"alert\"").count(), 1, "{form}: {shown}");
        for (id, typed) in kept {
            assert!(field(&shown, id).contains(&format!("value=\"{typed}\"")), "{form}: {shown}");
        }
        for (name, chosen) in fields.iter().filter(|(name, _)| ["limiter", "class", "state", "tier"].contains(name)) {
            let is_chosen = shown.contains(&format!("selected>{chosen}<"));
            let is_hidden = hidden(&shown).contains(&((*name).to_owned(), (*chosen).to_owned()));
            assert!(is_chosen || is_hidden, "{form}: {name} {chosen}: {shown}");
        }
    }
}

#[tokio::test]
async fn a_search_that_finds_nothing_keeps_its_page_and_its_text() {
    let api = Api::start_with(&[("TIDEGATE_WORKER", "none")]).await;
    let mut visit = Visit::new(&api);
    for (query, status, id, typed) in [
        ("tenant=nobody", 404, "tenant", "nobody"),
        ("limiter=ddos&key=mallory", 422, "key", "mallory"),
        ("simulate=auth&cost=&apart=0", 422, "cost", ""),
        ("simulate=auth&cost=1&apart=1e2", 422, "apart", "1e2"),
    ] {
        let answer = visit.get(&format!("/dashboard/limits?{query}")).await;
        assert_eq!(answer.status(), status, "{query}");
        let shown = answer.text().await.expect("a page");
        let wrong = field(&shown, id);
        assert!(shown.contains(NAVIGATION) && wrong.contains("role=\"alert\""), "{query}: {wrong}");
        assert!(wrong.contains(&format!("value=\"{typed}\"")), "{query}: {wrong}");
    }
}

#[tokio::test]
async fn a_button_that_is_refused_and_a_page_that_is_missing_keep_the_navigation() {
    let api = Api::start_with(&[("TIDEGATE_WORKER", "none")]).await;
    let nightly = json!({"name": "nightly", "expression": "30 2 * * *", "queue": "import", "overlap": "skip"});
    success_json(api.request(reqwest::Method::POST, "/api/queue/cron").json(&nightly)).await;
    let mut visit = Visit::new(&api);
    for status in [303, 409] {
        let form = visit.form("/dashboard/cron").await;
        let fields = [("name", "nightly"), ("form", form.as_str())];
        let answer = visit.post("/dashboard/cron/trigger", &fields, &[]).await;
        assert_eq!(answer.status(), status);
        if status == 409 {
            let shown = answer.text().await.expect("a page");
            assert!(shown.contains(NAVIGATION) && shown.contains("30 2 * * *"), "{shown}");
            assert!(shown.contains("is not finished"), "{shown}");
        }
    }
    for (path, back) in [("/dashboard/queues/none", "/dashboard/queues"), ("/dashboard/elsewhere", "/dashboard")] {
        let answer = visit.get(path).await;
        assert_eq!(answer.status(), 404, "{path}");
        let shown = answer.text().await.expect("a page");
        assert!(shown.contains(NAVIGATION) && shown.contains(&format!("<a href=\"{back}\">Back to")), "{shown}");
    }
}
