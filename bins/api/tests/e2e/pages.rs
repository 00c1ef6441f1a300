//! The dashboard: its frame without a browser, and its pages in one.

mod browser;
mod frame;
mod overview;

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
            for wanted in ["HttpOnly", "SameSite=Strict", "Path=/"] {
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

fn location(answer: &Response) -> String {
    header(answer, "location")
}
