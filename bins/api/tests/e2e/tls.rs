//! TLS of the API's own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use axum::http::Version;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use reqwest::{Certificate, Client};
use serde_json::json;
use tidegate_testkit::{Process, Scratch, http_client, poll_until};

use crate::harness::{DEADLINE, api, header, listening_at, run, success_json};

/// An authority of tests.
struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self { certificate: params.self_signed(&key).expect("a certificate").pem(), issuer: Issuer::new(params, key) }
    }

    /// Writes `certificate.pem` and `key.pem` of this machine.
    fn issue(&self, into: &Path, change: impl FnOnce(&mut CertificateParams)) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        fs::write(into.join("certificate.pem"), params.signed_by(&key, &self.issuer).expect("a certificate").pem())
            .expect("it is written");
        fs::write(into.join("key.pem"), key.serialize_pem()).expect("it is written");
        fs::set_permissions(into.join("key.pem"), fs::Permissions::from_mode(0o600)).expect("it is changed");
    }

    /// A client that believes it alone.
    fn client(&self) -> Client {
        let root = Certificate::from_pem(self.certificate.as_bytes()).expect("a certificate");
        http_client().tls_certs_only([root]).timeout(DEADLINE).build().expect("a client")
    }
}

const FILES: [(&str, &str); 2] = [("TIDEGATE_TLS_CERTIFICATE", "certificate.pem"), ("TIDEGATE_TLS_KEY", "key.pem")];
const OPERATOR: &str = "operator-token-0123456789";

async fn start(data: &Path) -> (Process, String) {
    let mut process = api(data, &FILES).env("TIDEGATE_ADMIN_TOKEN", OPERATOR).start().expect("the API starts");
    let url = listening_at(&mut process).await;
    (process, url)
}

#[tokio::test]
async fn check_reports_certificate_errors() {
    let (scratch, authority) = (Scratch::new(), Authority::new());
    let check = async |variables: &[(&str, &str)]| run(api(scratch.path(), variables).arg("--check")).await;
    let refused = async |variables: &[(&str, &str)], words: &str| {
        let ended = check(variables).await;
        assert_eq!(ended.code, Some(2), "{}", ended.err);
        assert!(ended.err.contains(words), "{words}: {}", ended.err);
    };
    refused(&FILES[..1], "requires tls.key (TIDEGATE_TLS_KEY)").await;
    refused(&FILES[1..], "requires tls.certificate (TIDEGATE_TLS_CERTIFICATE)").await;
    refused(&FILES, "can't be read").await;
    authority.issue(scratch.path(), |_| {});
    let good = check(&FILES).await;
    assert_eq!((good.code, good.out.as_str(), good.err.as_str()), (Some(0), "Settings OK\n", ""));
    let certificate = scratch.path().join("certificate.pem");
    let kept = fs::read(&certificate).unwrap();
    fs::write(&certificate, "nothing\n").unwrap();
    refused(&FILES, "contains no certificate").await;
    authority.issue(scratch.path(), |_| {});
    fs::write(&certificate, kept).unwrap();
    refused(&FILES, "does not match the certificate in").await;
    authority.issue(scratch.path(), |params| params.not_after = date_time_ymd(2020, 2, 3));
    fs::set_permissions(scratch.path().join("key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    let warned = check(&FILES).await;
    assert_eq!(warned.code, Some(0), "{}", warned.err);
    for words in ["has expired on 2020-02-03", "is readable by every user", "Settings OK"] {
        assert!(warned.out.contains(words), "{words}: {}", warned.out);
    }
}

#[tokio::test]
async fn a_tls_client_gets_host_cookies_and_hsts() {
    let (scratch, authority) = (Scratch::new(), Authority::new());
    authority.issue(scratch.path(), |_| {});
    let (_process, url) = start(scratch.path()).await;
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let client = authority.client();
    let answer = client.get(format!("{url}/livez")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "strict-transport-security"), "max-age=31536000");
    assert_eq!(answer.version(), Version::HTTP_2, "it is what both prefer");

    let tenant = json!({"id": "acme", "name": "Acme", "tier": "enterprise"});
    let made = success_json(client.post(format!("{url}/api/tenants")).bearer_auth(OPERATOR).json(&tenant)).await;
    let key = made["api_key"].as_str().unwrap();
    let user = json!({"email": "ada@example.org", "name": "Ada", "password": "correct horse battery"});
    success_json(client.post(format!("{url}/api/tenants/acme/users")).bearer_auth(key).json(&user)).await;
    let login = json!({"tenant_id": "acme", "email": "ada@example.org", "password": "correct horse battery"});
    let answer = client.post(format!("{url}/api/session")).json(&login).send().await.unwrap();
    let cookie = header(&answer, "set-cookie");
    assert!(
        cookie.starts_with("__Host-tidegate_user=") && cookie.ends_with("; Secure"),
        "{}: {cookie}",
        answer.status()
    );
    let pair = cookie.split(';').next().unwrap();
    let answer = client.get(format!("{url}/api/session")).header("cookie", pair).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    // The login of the pages has one of its own.
    let answer = client.get(format!("{url}/dashboard/login")).send().await.unwrap();
    assert!(header(&answer, "set-cookie").starts_with("__Host-"), "{}", header(&answer, "set-cookie"));
}

#[tokio::test]
async fn without_tls_there_is_no_hsts_and_no_host_cookie() {
    let scratch = Scratch::new();
    let mut process = api(scratch.path(), &[("TIDEGATE_ADMIN_TOKEN", OPERATOR)]).start().expect("the API starts");
    let url = listening_at(&mut process).await;
    assert!(url.starts_with("http://"), "{url}");
    // A client's own claim is not trusted.
    let request = http_client().build().unwrap().get(format!("{url}/dashboard/login")).header("tidegate-by-tls", "1");
    let answer = request.send().await.unwrap();
    assert_eq!(header(&answer, "strict-transport-security"), "");
    let cookie = header(&answer, "set-cookie");
    assert!(!cookie.is_empty() && !cookie.contains("__Host-"), "{cookie}");
}

#[tokio::test]
async fn a_hangup_has_the_certificate_read_again() {
    let (scratch, before, after) = (Scratch::new(), Authority::new(), Authority::new());
    before.issue(scratch.path(), |_| {});
    let (process, url) = start(scratch.path()).await;
    let path = format!("{url}/livez");
    let old = before.client();
    assert_eq!(old.get(&path).send().await.unwrap().status(), 200);
    assert!(after.client().get(&path).send().await.is_err());
    after.issue(scratch.path(), |_| {});
    let pid = process.pid().expect("it runs").to_string();
    assert!(std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    // Long before the next look at the files, ten seconds behind the start.
    let renewed = poll_until(Duration::from_secs(5), async || after.client().get(&path).send().await.ok()).await;
    assert_eq!(renewed.expect("it is served").status(), 200);
    assert_eq!(old.get(&path).send().await.expect("its connection goes on").status(), 200);
}
