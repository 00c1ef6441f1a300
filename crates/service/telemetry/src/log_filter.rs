//! The log filter, which an operator can change temporarily.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tidegate_base::clock;
use tidegate_settings::misspelt_level;
use tracing_subscriber::{EnvFilter, Registry, reload};

/// The filter of this process. Empty before its log has started.
static FILTER: OnceLock<LogFilter> = OnceLock::new();

/// The filter of the log: the configured one, or a temporary one.
#[derive(Debug)]
pub struct LogFilter {
    of_settings: String,
    in_force: Mutex<Option<Temporary>>,
    handle: reload::Handle<EnvFilter, Registry>,
}

/// A temporary filter.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Temporary {
    filter: String,
    until: DateTime<Utc>,
}

/// The state of the log filter.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct LogFilterNow {
    /// The active filter.
    pub filter: String,
    /// When the configured filter becomes active again. `None` while it is active.
    pub until: Option<DateTime<Utc>>,
    /// The configured filter.
    pub of_settings: String,
}

/// The text is not a valid filter.
#[derive(Debug, thiserror::Error)]
#[error("`{filter}` is not a filter such as `debug` or `info,tidegate_queue=debug`: {reason}")]
pub struct BadFilter {
    filter: String,
    reason: String,
}

/// Starts with the configured filter, which was validated with the settings.
pub(super) fn start(of_settings: &str) -> reload::Layer<EnvFilter, Registry> {
    let (layer, handle) = reload::Layer::new(EnvFilter::new(of_settings));
    let filter = LogFilter { of_settings: of_settings.to_owned(), in_force: Mutex::default(), handle };
    // If there are several nodes in one process, as in tests, the first one controls the log.
    let _ = FILTER.set(filter);
    layer
}

/// Returns the filter of this process. `None` before its log has started.
pub fn log_filter() -> Option<&'static LogFilter> {
    FILTER.get()
}

impl LogFilter {
    /// Returns the active filter.
    pub fn now(&self) -> LogFilterNow {
        let in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let of_settings = self.of_settings.clone();
        match in_force {
            Some(Temporary { filter, until }) => LogFilterNow { filter, until: Some(until), of_settings },
            None => LogFilterNow { filter: of_settings.clone(), until: None, of_settings },
        }
    }

    /// Sets a temporary filter for `time`. Replaces an earlier temporary filter.
    ///
    /// # Errors
    ///
    /// [`BadFilter`] if the text is not a valid filter. The active filter stays.
    pub fn set_for(&'static self, filter: &str, time: Duration) -> Result<LogFilterNow, BadFilter> {
        let bad = |reason: String| BadFilter { filter: filter.to_owned(), reason };
        let parsed = EnvFilter::try_new(filter).map_err(|error| bad(error.to_string()))?;
        if let Some(fault) = misspelt_level(filter) {
            return Err(bad(fault));
        }
        let until = clock::now() + time;
        let temporary = Temporary { filter: filter.to_owned(), until };
        {
            let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
            self.handle.reload(parsed).map_err(|error| bad(error.to_string()))?;
            *in_force = Some(temporary.clone());
        }
        tracing::info!(filter, %until, "the log filter was changed");
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            self.end(|in_force| *in_force == temporary);
        });
        Ok(self.now())
    }

    /// Activates the configured filter again.
    pub fn reset(&self) -> LogFilterNow {
        self.end(|_| true);
        self.now()
    }

    fn end(&self, which: impl FnOnce(&Temporary) -> bool) {
        let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        if !in_force.as_ref().is_some_and(which) {
            return;
        }
        match self.handle.reload(EnvFilter::new(&self.of_settings)) {
            Ok(()) => *in_force = None,
            Err(error) => return tracing::error!(%error, "the log filter can't be changed back"),
        }
        drop(in_force);
        tracing::info!(filter = self.of_settings, "the log filter is that of the settings again");
    }
}

#[cfg(test)]
mod tests {
    use tidegate_settings::LogFormat;
    use tidegate_testkit::Page;
    use tracing_subscriber::layer::SubscriberExt;

    use super::super::logging::lines;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_filter_holds_for_its_time_and_then_that_of_the_settings_again() {
        let page = Page::default();
        let to = page.clone();
        let layer = start("warn");
        let filter = log_filter().expect("started");
        let lines = lines(layer, LogFormat::Text, move || to.clone(), false);
        let _log = tracing::subscriber::set_default(tracing_subscriber::registry().with(lines));
        let tell = |number: u32| tracing::info!(number, "told");
        tell(1);
        let now = filter.set_for("info", Duration::from_secs(60)).expect("a filter");
        assert_eq!((now.filter.as_str(), now.of_settings.as_str()), ("info", "warn"));
        tell(2);
        assert!(filter.set_for("=x=", Duration::from_secs(1)).is_err());
        tokio::time::sleep(Duration::from_secs(30)).await;
        // The end of the first filter must not end the second.
        filter.set_for("info,other=off", Duration::from_secs(60)).expect("a filter");
        tokio::time::sleep(Duration::from_secs(40)).await;
        tell(3);
        tokio::time::sleep(Duration::from_secs(21)).await;
        tell(4);
        assert_eq!(filter.now().until, None);
        filter.set_for("info", Duration::from_secs(60)).expect("a filter");
        tell(5);
        assert_eq!(filter.reset().filter, "warn");
        tell(6);
        let text = page.text();
        let numbers: Vec<_> = text.lines().filter_map(|line| line.split("number=").nth(1)).collect();
        assert_eq!(numbers, ["2", "3", "5"], "{text}");
    }
}
