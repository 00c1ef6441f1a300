//! The collector of traces and metrics.

use std::time::Duration;

use tidegate_perfmon::mask;

use crate::error::SettingsError;
use crate::hidden::Hidden;
use crate::reader::Reader;
use crate::setting::{Setting, secret, setting};

pub(crate) const SETTINGS: &[Setting] = &[
    // For some collectors the path contains the key.
    secret(
        "otlp.endpoint",
        "TIDEGATE_OTLP_ENDPOINT",
        "OpenTelemetry collector that receives traces and metrics with OTLP over HTTP",
    ),
    secret("otlp.headers", "TIDEGATE_OTLP_HEADERS", "headers for the collector: name=value, separated by commas"),
    setting(
        "otlp.resource",
        "TIDEGATE_OTLP_RESOURCE",
        None,
        "resource attributes of the sender, such as deployment.environment.name=production: name=value, separated by commas",
    ),
    setting(
        "otlp.sending",
        "TIDEGATE_OTLP_SENDING",
        Some("sample=1, interval=60s"),
        "share of the traces started here that are sent, and interval at which metrics are sent",
    ),
];

/// An OpenTelemetry collector.
#[derive(Debug, Clone)]
pub struct OtlpSettings {
    /// Base URL for `/v1/traces` and `/v1/metrics`. For some collectors its path is a key.
    pub endpoint: Hidden,
    /// Additional headers as `name=value`, separated by commas.
    pub headers: Option<Hidden>,
    /// Share of the traces started here that are sent.
    pub sample: f64,
    /// Interval at which metrics are sent.
    pub interval: Duration,
    /// Additional attributes of the sender, by name. No value looks like a secret.
    pub resource: Vec<(String, String)>,
}

/// Everything is checked even without a collector, so that a mistake shows when it is made.
pub(crate) fn otlp(raw: &Reader<'_>) -> Result<Option<OtlpSettings>, SettingsError> {
    let headers = raw.headers("otlp.headers")?;
    let sending = raw.options("otlp.sending")?;
    let sample = sending.required("sample", "a share from 0 to 1, such as 0.1", |text| {
        text.parse().ok().filter(|share| (0.0..=1.0).contains(share))
    })?;
    let interval = sending.duration("interval", Duration::from_secs(1), Duration::from_secs(3600))?;
    let resource = resource(raw)?;
    let endpoint = raw.secret_base_url("otlp.endpoint")?;
    if endpoint.is_some() && !cfg!(feature = "otlp") {
        let reason = "this program was built without the feature `otlp`, and so sends nothing; unset it";
        return Err(raw.invalid("otlp.endpoint", reason.to_owned()));
    }
    Ok(endpoint.map(|endpoint| OtlpSettings { endpoint, headers, sample, interval, resource }))
}

/// Attributes that the process sets itself.
const OWN: [&str; 2] = ["service.version", "service.instance.id"];
/// Maximum number of attributes, and of bytes in a name and a value.
const MOST_ATTRIBUTES: usize = 32;
const LONGEST_NAME: usize = 128;
const LONGEST_VALUE: usize = 256;

fn resource(raw: &Reader<'_>) -> Result<Vec<(String, String)>, SettingsError> {
    const KEY: &str = "otlp.resource";
    let wanted = "`name=value` separated by commas, such as deployment.environment.name=production, none twice; \
                  service.version and service.instance.id are the process's own";
    let told = raw.optional(KEY, wanted, |text| {
        let pairs: Option<Vec<_>> = text.split(',').map(attribute).collect();
        let pairs = pairs.filter(|pairs| pairs.len() <= MOST_ATTRIBUTES)?;
        let is_twice = |at: usize| pairs[..at].iter().any(|(name, _)| *name == pairs[at].0);
        if (0..pairs.len()).any(is_twice) { None } else { Some(pairs) }
    })?;
    let pairs = told.unwrap_or_default();
    match pairs.iter().find(|(_, value)| mask(value) != value.as_str()) {
        Some((name, _)) => {
            Err(raw
                .invalid(KEY, format!("the value of {name} looks like a secret, and goes out with all that is sent")))
        }
        None => Ok(pairs),
    }
}

fn attribute(pair: &str) -> Option<(String, String)> {
    let (name, value) = pair.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let is_name = (1..=LONGEST_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        && !OWN.contains(&name);
    let is_value = (1..=LONGEST_VALUE).contains(&value.len()) && !value.chars().any(char::is_control);
    (is_name && is_value).then(|| (name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use crate::test_ground::check_with;

    #[test]
    #[cfg(feature = "otlp")]
    fn what_is_said_of_the_sender_is_checked_and_holds_no_secret() {
        let set = |text: &str| {
            let collector = ("TIDEGATE_OTLP_ENDPOINT", "http://127.0.0.1:4318");
            check_with(&[collector, ("TIDEGATE_OTLP_RESOURCE", text)]).map(|all| all.performance.otlp.unwrap().resource)
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let told = set("service.name = shop, deployment.environment.name=production").unwrap();
        assert_eq!(told, [pair("service.name", "shop"), pair("deployment.environment.name", "production")]);
        for wrong in ["", "a", "a=", "=b", "a=b,", "a=b,a=c", "a b=c", "service.instance.id=1", "service.version=2"] {
            // An empty text means that the setting is not set.
            assert_eq!(set(wrong).is_err(), !wrong.is_empty(), "{wrong:?}");
        }
        let error = set("owner=ada@example.org").unwrap_err().to_string();
        assert!(error.contains("owner") && error.contains("secret") && !error.contains("ada@"), "{error}");
    }

    #[test]
    #[cfg(not(feature = "otlp"))]
    fn a_program_that_cannot_export_refuses_a_collector() {
        let error = check_with(&[("TIDEGATE_OTLP_ENDPOINT", "http://127.0.0.1:4318")]).unwrap_err().to_string();
        assert!(error.contains("TIDEGATE_OTLP_ENDPOINT") && error.contains("feature `otlp`"), "{error}");
    }

    #[test]
    #[cfg(feature = "otlp")]
    fn a_collector_is_an_http_url_without_a_password() {
        let otlp = check_with(&[("TIDEGATE_OTLP_ENDPOINT", "http://127.0.0.1:4318/")]).unwrap().performance.otlp;
        let otlp = otlp.unwrap();
        assert_eq!((otlp.endpoint.reveal(), otlp.sample), ("http://127.0.0.1:4318/", 1.0));
        for wrong in [
            "127.0.0.1:4318",
            "grpc://host:4317",
            "http://user:word@host",
            "http://host/?x=y",
            "http://host/#x",
            "http://",
        ] {
            assert!(check_with(&[("TIDEGATE_OTLP_ENDPOINT", wrong)]).is_err(), "{wrong}");
        }
        assert!(check_with(&[("TIDEGATE_OTLP_SENDING", "sample=1.5")]).is_err());
    }
}
