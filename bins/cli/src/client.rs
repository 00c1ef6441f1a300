//! Sends requests, and makes failures of what comes back that is no good.

mod answer;
mod base;
mod tls;

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::{RequestBuilder, Response, Url, redirect};

pub(crate) use self::answer::Answer;
use crate::call::Call;
use crate::failure::Failure;
use crate::options::Connection;
use crate::token;

/// The longest time to connect. The time for an answer is longer: the API itself waits for a
/// database or a Redis that is away, and then says so.
const CONNECT: Duration = Duration::from_secs(10);

/// A client of one API.
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    authorization: Option<HeaderValue>,
    timeout: Duration,
}

impl Client {
    /// A client as the command line and the environment describe it.
    ///
    /// It uses no proxy of the environment and follows no redirect, so that the token goes to the
    /// named server alone.
    pub(crate) fn new(connection: &Connection) -> Result<Self, Failure> {
        let base = base::url(&connection.url())?;
        let authorization = token::authorization(connection.token_file.as_deref())?;
        let builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(connection.timeout.min(CONNECT))
            .user_agent(concat!("tidegate-cli/", env!("CARGO_PKG_VERSION")));
        let builder = tls::trusting(builder, &base, connection.ca().as_deref())?;
        let http =
            builder.build().map_err(|error| Failure::usage(format!("no client can be made: {}", chain(&error))))?;
        Ok(Self { http, base, authorization, timeout: connection.timeout })
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&self, call: &Call) -> Result<Answer, Failure> {
        let answer = self.send_any(call).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(self.refused(answer)) }
    }

    /// As [`send`](Self::send), but an answer with any status is one.
    pub(crate) async fn send_any(&self, call: &Call) -> Result<Answer, Failure> {
        let request = self.request(call)?.timeout(self.timeout);
        let response = request.send().await.map_err(|error| self.lost(call, &error))?;
        Answer::read(response, self.asked(call)).await.map_err(|error| error.failure(|lost| self.lost(call, lost)))
    }

    /// The failure of an answer that is not as expected: a refusal, or one of another server.
    pub(crate) fn not_expected(&self, answer: Answer, reason: &str) -> Failure {
        if answer.status.is_success() { answer.foreign(reason) } else { self.refused(answer) }
    }

    /// Opens a stream. Its head has the time of a request, and the stream no end.
    pub(crate) async fn open(&self, call: &Call) -> Result<Response, Failure> {
        let opened = tokio::time::timeout(self.timeout, self.request(call)?.send()).await;
        let response = opened.map_err(|_| self.late(call))?.map_err(|error| self.lost(call, &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let answer = tokio::time::timeout(self.timeout, Answer::read(response, self.asked(call))).await;
        let answer = answer.map_err(|_| self.late(call))?;
        let answer = answer.map_err(|error| error.failure(|lost| self.lost(call, lost)))?;
        Err(self.refused(answer))
    }

    /// The request as messages name it.
    pub(crate) fn asked(&self, call: &Call) -> String {
        format!("{} {}", call.method, self.url(call))
    }

    fn url(&self, call: &Call) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(&call.path);
        }
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        url
    }

    fn request(&self, call: &Call) -> Result<RequestBuilder, Failure> {
        let mut request = self.http.request(call.method.clone(), self.url(call));
        request = request.header(ACCEPT, HeaderValue::from_static("*/*"));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        for (name, value) in &call.headers {
            let value = HeaderValue::from_str(value);
            let value = value.map_err(|_| Failure::usage(format!("the value of {name} holds no plain text")))?;
            request = request.header(*name, value);
        }
        Ok(match &call.body {
            Some(body) => request.json(body),
            None => request,
        })
    }

    fn refused(&self, answer: Answer) -> Failure {
        answer.refused(self.authorization.is_some())
    }

    fn late(&self, call: &Call) -> Failure {
        Failure::Unreachable {
            asked: self.asked(call),
            reason: format!("no answer within {}", humantime::format_duration(self.timeout)),
            may_have_run: call.changes(),
            hint: "is the server overloaded? --timeout gives it longer",
        }
    }

    /// The failure of an exchange that brought no whole answer.
    fn lost(&self, call: &Call, error: &reqwest::Error) -> Failure {
        if error.is_builder() {
            return Failure::usage(format!("this can't be sent: {}", chain(error)));
        }
        if error.is_timeout() && !error.is_connect() {
            return self.late(call);
        }
        Failure::Unreachable {
            asked: self.asked(call),
            reason: chain(error),
            may_have_run: call.changes() && !error.is_connect(),
            hint: if is_tls(error) {
                "--ca names the authority that has signed the server's certificate"
            } else {
                "is tidegate-api running there? --url or TIDEGATE_URL names another server"
            },
        }
    }
}

/// Whether a server answered, and its certificate or its TLS is no good.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.is::<rustls::Error>() || inner.is_some_and(|inner| is_tls(inner)) || error.source().is_some_and(is_tls)
}

/// An error with its causes. The URL is named beside it.
fn chain(error: &reqwest::Error) -> String {
    let (mut text, mut cause) = (String::new(), error.source());
    while let Some(error) = cause {
        // hyper's own words name the part of it that failed.
        if !error.to_string().starts_with("client error (") {
            let _ = write!(text, "{}{error}", if text.is_empty() { "" } else { ": " });
        }
        cause = error.source();
    }
    if text.is_empty() { "the connection failed".to_owned() } else { text }
}
