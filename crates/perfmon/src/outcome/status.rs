//! The class of an HTTP status.

use serde::Serialize;

use crate::histogram::stripe::TALLIES;

/// The hundreds of an HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusClass {
    /// 1xx
    Informational,
    /// 2xx
    Success,
    /// 3xx
    Redirection,
    /// 4xx
    ClientError,
    /// 5xx, and every number that is no HTTP status.
    ServerError,
}

impl StatusClass {
    /// The class of a status code.
    pub fn of(code: u16) -> Self {
        match code {
            100..=199 => Self::Informational,
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

/// Numbers of responses by class, without [refused](crate::EndpointSnapshot::refused) ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct StatusCounts {
    /// 1xx
    #[serde(rename = "1xx")]
    pub informational: u64,
    /// 2xx
    #[serde(rename = "2xx")]
    pub success: u64,
    /// 3xx
    #[serde(rename = "3xx")]
    pub redirection: u64,
    /// 4xx
    #[serde(rename = "4xx")]
    pub client_error: u64,
    /// 5xx
    #[serde(rename = "5xx")]
    pub server_error: u64,
}

impl StatusCounts {
    /// Responses of all classes.
    pub fn total(&self) -> u64 {
        self.informational + self.success + self.redirection + self.client_error + self.server_error
    }

    pub(crate) fn of(tallies: &[u64; TALLIES]) -> Self {
        let [informational, success, redirection, client_error, server_error, ..] = *tallies;
        Self { informational, success, redirection, client_error, server_error }
    }
}
