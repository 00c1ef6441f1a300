//! Authorization: every operation of the document with every sender. Only the audience sets what is
//! expected.

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::document::{Document, Known, Operation};
use crate::harness::{Api, header, problem, success_json};
use crate::start::{ADMIN, READ};

const SERVICE: &str = "service-token-0123456789";
/// Unauthenticated clients are not counted, because the tests send many such requests.
const SETTINGS: [(&str, &str); 6] = [
    ("TIDEGATE_ADMIN_TOKEN", ADMIN),
    ("TIDEGATE_READ_TOKEN", READ),
    ("TIDEGATE_SERVICE_TOKEN", SERVICE),
    ("TIDEGATE_LIMIT_AUTH", "mode=off"),
    ("TIDEGATE_LIMIT_API", "mode=off"),
    ("TIDEGATE_WORKER", "none"),
];

/// The senders, in the order of their requests. Senders that may delete come last.
const SENDERS: [Sender; 8] = [
    Sender::Nobody,
    Sender::Stranger,
    Sender::HalfAToken,
    Sender::Service,
    Sender::Reader,
    Sender::OtherTenant,
    Sender::Admin,
    Sender::OwnTenant,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    Nobody,
    Stranger,
    HalfAToken,
    Service,
    Reader,
    Admin,
    OwnTenant,
    OtherTenant,
}

/// Expected outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It is let in, whatever comes then.
    Admitted,
    /// The client is not authenticated.
    Unknown,
    /// It is authenticated but not permitted.
    Forbidden,
    /// It is admitted, but the object in the path is hidden from it.
    Hidden,
}

/// By the audience alone.
fn expected(audience: &str, is_read: bool, names_something: bool, sender: Sender) -> Verdict {
    use Sender::{Admin, HalfAToken, Nobody, OtherTenant, OwnTenant, Reader, Service, Stranger};
    use Verdict::{Admitted, Forbidden, Hidden, Unknown};
    match (audience, sender) {
        ("public", _) => Admitted,
        (_, Nobody | Stranger | HalfAToken) => Unknown,
        ("reader" | "admin" | "service", Admin) | ("reader", Reader) | ("service", Service) => Admitted,
        ("reader" | "admin", Service) | ("admin" | "service", Reader) => Forbidden,
        ("reader" | "admin" | "service", OwnTenant | OtherTenant) => Unknown,
        ("tenant", Admin | Reader | Service) => Unknown,
        ("tenant" | "tenant-or-reader" | "tenant-or-operator", OwnTenant) => Admitted,
        ("tenant", OtherTenant) => {
            if names_something {
                Hidden
            } else {
                Admitted
            }
        }
        ("tenant-or-reader" | "tenant-or-operator", OtherTenant) => Hidden,
        ("tenant-or-reader" | "tenant-or-operator", Admin) => Admitted,
        ("tenant-or-reader" | "tenant-or-operator", Service) => Forbidden,
        ("tenant-or-reader", Reader) => Admitted,
        ("tenant-or-operator", Reader) => {
            if is_read {
                Admitted
            } else {
                Forbidden
            }
        }
        _ => unreachable!("the audience {audience} is not described"),
    }
}

/// An API with two tenants, and what one of them has.
struct Ground {
    api: Api,
    document: Document,
    known: Known,
    own: String,
    other: String,
}

impl Ground {
    async fn start() -> Self {
        let api = Api::start_with(&SETTINGS).await;
        let document = Document::of(&api).await;
        let key = async |id: &str| {
            let body = json!({"id": id, "name": id, "tier": "enterprise"});
            let made = success_json(api.request(Method::POST, "/api/tenants").bearer_auth(ADMIN).json(&body)).await;
            made["api_key"].as_str().expect("a key").to_owned()
        };
        let (own, other) = (key("acme").await, key("bolt").await);
        let mut known = Known::default();
        // What the first tenant has, so that there is something to hide from the second.
        let making = document.operations().into_iter().filter(|operation| {
            operation.method == Method::POST && operation.body().is_some() && operation.audience.starts_with("tenant")
        });
        for operation in making {
            let answer = operation.request(&api, &known).bearer_auth(&own).send().await.expect("an answer");
            known.learn(&document, &answer);
        }
        Self { api, document, known, own, other }
    }

    fn as_sent(&self, operation: &Operation, sender: Sender) -> RequestBuilder {
        let request = operation.request(&self.api, &self.known);
        match sender {
            Sender::Nobody => request,
            Sender::Stranger => request.bearer_auth("wrong-token-0123456789"),
            Sender::HalfAToken => request.bearer_auth(&ADMIN[..ADMIN.len() - 1]),
            Sender::Service => request.bearer_auth(SERVICE),
            Sender::Reader => request.bearer_auth(READ),
            Sender::Admin => request.bearer_auth(ADMIN),
            Sender::OwnTenant => request.bearer_auth(&self.own),
            Sender::OtherTenant => request.bearer_auth(&self.other),
        }
    }
}

#[tokio::test]
async fn every_operation_admits_only_its_audience() {
    let ground = Ground::start().await;
    let mut operations = ground.document.operations();
    // Deleting operations come after the ones that read.
    operations.sort_by_key(|operation| operation.method == Method::DELETE);
    for sender in SENDERS {
        for operation in &operations {
            let answer = ground.as_sent(operation, sender).send().await.expect("an answer");
            let names_something = operation.path.contains('{');
            let verdict = expected(&operation.audience, operation.method == Method::GET, names_something, sender);
            is_so(&format!("{sender:?} at {}", operation.id), verdict, operation, answer).await;
        }
    }
}

#[tokio::test]
async fn a_forwarded_header_closes_what_is_open_to_this_machine() {
    let api = Api::start_with(&[("TIDEGATE_WORKER", "none")]).await;
    let document = Document::of(&api).await;
    api.create_tenant("acme", "enterprise").await;
    let known = Known::default();
    for operation in document.operations() {
        let request = || operation.request(&api, &known).header("x-tenant-id", "acme");
        let direct = request().send().await.expect("an answer");
        is_so(&format!("directly at {}", operation.id), Verdict::Admitted, &operation, direct).await;
        let verdict = match operation.audience.as_str() {
            "public" => Verdict::Admitted,
            "tenant" => Verdict::Unknown,
            _ => Verdict::Forbidden,
        };
        for (name, value) in
            [("x-forwarded-for", "203.0.113.7"), ("forwarded", "for=203.0.113.7"), ("via", "1.1 proxy")]
        {
            let answer = request().header(name, value).send().await.expect("an answer");
            is_so(&format!("with {name} at {}", operation.id), verdict, &operation, answer).await;
        }
    }
}

async fn is_so(what: &str, verdict: Verdict, operation: &Operation, answer: Response) {
    let status = answer.status().as_u16();
    assert!(status < 500, "{what}: {status}");
    match verdict {
        // Some public routes authenticate the client themselves: a login is refused by its
        // password.
        Verdict::Admitted if operation.audience == "public" => {}
        Verdict::Admitted => assert!(![401, 403, 429].contains(&status), "{what}: {status} {}", text(answer).await),
        Verdict::Unknown => {
            assert_eq!((status, header(&answer, "www-authenticate").as_str()), (401, "Bearer"), "{what}");
            problem(answer, 401, "unauthorized").await;
        }
        Verdict::Forbidden => {
            assert_eq!(status, 403, "{what}: {}", text(answer).await);
            problem(answer, 403, "forbidden").await;
        }
        Verdict::Hidden => {
            assert_eq!(status, 404, "{what}: {}", text(answer).await);
            problem(answer, 404, "not-found").await;
        }
    }
}

async fn text(answer: Response) -> Value {
    answer.text().await.unwrap_or_default().into()
}
