//! The dashboard: its frame without a browser, and its pages in one.

mod actions;
mod browser;
mod cache;
mod cron;
mod frame;
mod limits;
mod overview;
mod queues;
mod refused;

use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use tidegate_testkit::http_client;

use crate::harness::{Api, DEADLINE, header};

/// One browser's worth of cookies, kept by hand so that a test says what is sent.
struct Visit<'a> {
    api: &'a Api,
    client: Client,
    cookies: Vec<(String, String)>,
}

impl<'a> Visit<'a> {
    fn new(api: &'a Api) -> Self {
        let client = http_client().timeout(DEADLINE).redirect(Policy::none()).build().expect("a client");
        Self { api, client, cookies: Vec::new() }
    }

    async fn get(&mut self, path: &str) -> Response {
        let request = self.client.get(format!("{}{path}", self.api.url)).header("cookie", self.cookie());
        let answer = request.send().await.expect("an answer");
        self.keep(&answer);
        answer
    }

    async fn post(&mut self, path: &str, fields: &[(&str, &str)], headers: &[(&'static str, &str)]) -> Response {
        let request = self.client.post(format!("{}{path}", self.api.url)).header("cookie", self.cookie());
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body.join("&"));
        let answer = request.send().await.expect("an answer");
        self.keep(&answer);
        answer
    }

    /// Loads the login and sends its form.
    async fn log_in(&mut self, token: &str) -> Response {
        let form = self.form("/dashboard/login").await;
        self.post("/dashboard/login", &[("token", token), ("form", &form)], &[]).await
    }

    /// The hidden field of a page's form.
    async fn form(&mut self, path: &str) -> String {
        let page = self.get(path).await.text().await.expect("a page");
        let (_, rest) = page.split_once("name=\"form\" value=\"").expect("a form");
        rest.split('"').next().expect("its end").to_owned()
    }

    fn cookie(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn keep(&mut self, answer: &Response) {
        for line in answer.headers().get_all("set-cookie") {
            let line = line.to_str().expect("a text");
            let (pair, attributes) = line.split_once(';').expect("attributes");
            for wanted in ["HttpOnly", "SameSite=Lax", "Path=/"] {
                assert!(attributes.contains(wanted), "{line}");
            }
            let (name, value) = pair.split_once('=').expect("a pair");
            self.cookies.retain(|(held, _)| held != name);
            if !attributes.contains("Max-Age=0") {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
    }
}

/// The page of a GET that must be there.
async fn page(visit: &mut Visit<'_>, path: &str) -> String {
    let answer = visit.get(path).await;
    assert_eq!(answer.status(), 200, "{path}");
    answer.text().await.expect("a page")
}

/// Sends a form of that page without JavaScript, and returns the page that it leads to.
async fn act(visit: &mut Visit<'_>, from: &str, path: &str, fields: &[(&str, &str)]) -> String {
    let form = visit.form(from).await;
    let fields: Vec<_> = fields.iter().copied().chain([("form", form.as_str())]).collect();
    let answer = visit.post(path, &fields, &[]).await;
    assert_eq!(answer.status(), 303, "{path} {fields:?}: {}", answer.text().await.expect("a page"));
    page(visit, &location(&answer)).await
}

/// Confirms an action that cannot be undone, with the form that asks.
async fn act_when_asked(visit: &mut Visit<'_>, from: &str, path: &str, fields: &[(&str, &str)]) -> String {
    let form = visit.form(from).await;
    let sent: Vec<_> = fields.iter().copied().chain([("form", form.as_str())]).collect();
    let question = visit.post(path, &sent, &[]).await;
    assert_eq!(question.status(), 200, "{path} {fields:?}");
    let question = question.text().await.expect("a page");
    assert!(question.contains("name=\"sure\" value=\"yes\"") && question.contains(path), "{question}");
    let held = hidden(&question);
    let fields: Vec<_> = held.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let fields: Vec<_> = fields.into_iter().chain([("sure", "yes")]).collect();
    let answer = visit.post(path, &fields, &[]).await;
    assert_eq!(answer.status(), 303, "{path}: {}", answer.text().await.expect("a page"));
    page(visit, &location(&answer)).await
}

/// Names and values of the hidden fields of a page with one form.
fn hidden(page: &str) -> Vec<(String, String)> {
    let fields = page.split("<input type=\"hidden\" name=\"").skip(1);
    let fields = fields.map(|rest| {
        let mut parts = rest.split('"');
        (parts.next().expect("a name").to_owned(), parts.nth(1).expect("a value").to_owned())
    });
    fields.collect()
}

fn location(answer: &Response) -> String {
    header(answer, "location")
}
