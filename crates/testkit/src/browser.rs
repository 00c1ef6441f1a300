//! A browser without a screen.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
pub use thirtyfour::{By, Key};
use thirtyfour::{ChromiumLikeCapabilities, DesiredCapabilities, LoggingPrefsLogLevel, WebDriver};

use crate::port::free_port;
use crate::process::Process;
use crate::scratch::Scratch;

/// How long a browser may take to be there.
const LONG: Duration = Duration::from_secs(60);

/// In a container there is no sandbox to be had; and nothing that a browser does by itself may reach the network.
const FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

/// Chromium with a new profile, led by a chromedriver of its own. Both end with it.
///
/// Each step panics with its reason where the browser fails, since a test can do nothing about that.
pub struct Browser {
    driver: WebDriver,
    /// Behind the driver, which speaks to it until it is dropped.
    process: Process,
    _profile: Scratch,
}

impl std::fmt::Debug for Browser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Browser").field("process", &self.process).finish_non_exhaustive()
    }
}

impl Browser {
    /// Starts it.
    ///
    /// # Panics
    ///
    /// When `chromium` or `chromedriver` is missing (Debian: `apt-get install chromium chromium-driver`) or doesn't start.
    pub async fn start() -> Self {
        let profile = Scratch::new();
        let port = free_port();
        let mut process = Process::builder("chromedriver")
            .arg(format!("--port={port}"))
            .env("TMPDIR", profile.path())
            .start()
            .expect("chromedriver starts; it comes with the package chromium-driver");
        let url = format!("http://127.0.0.1:{port}");
        process.wait_until_ready(&format!("{url}/status"), LONG).await.expect("chromedriver answers");

        let mut wanted = DesiredCapabilities::chrome();
        for flag in FLAGS {
            wanted.add_arg(flag).expect("a flag");
        }
        wanted.add_arg(&format!("--user-data-dir={}", profile.path().display())).expect("a flag");
        wanted.set_browser_log_level(LoggingPrefsLogLevel::All).expect("a level");
        let driver = WebDriver::new(&url, wanted).await.expect("a session of the browser");
        Self { driver, process, _profile: profile }
    }

    /// The driver, for all that has no name here.
    pub fn driver(&self) -> &WebDriver {
        &self.driver
    }

    /// Loads a page.
    ///
    /// # Panics
    ///
    /// When the browser fails.
    pub async fn open(&self, url: &str) {
        self.driver.goto(url).await.expect("the page loads");
    }

    /// What the body of a function returns in the page.
    ///
    /// # Panics
    ///
    /// When the script throws.
    pub async fn script(&self, body: &str) -> Value {
        self.driver.execute(body, Vec::new()).await.expect("the script runs").json().clone()
    }

    /// Presses the key that leads from one control to the next.
    ///
    /// # Panics
    ///
    /// When the browser fails.
    pub async fn press_tab(&self) {
        let keys = self.driver.action_chain().send_keys(Key::Tab);
        keys.perform().await.expect("the key is pressed");
    }

    /// Takes this size, and the scheme of colours that a person prefers.
    ///
    /// # Panics
    ///
    /// When the browser fails.
    pub async fn look(&self, width: u32, height: u32, is_dark: bool) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.tell("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.tell("Emulation.setEmulatedMedia", features).await;
    }

    /// Writes a picture of what is seen.
    ///
    /// # Panics
    ///
    /// When the browser fails, or the file can't be written.
    pub async fn screenshot(&self, path: &Path) {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).expect("a directory for pictures");
        }
        self.driver.screenshot(path).await.expect("a picture");
    }

    /// What stood in the console since the last call, as far as it is a warning or worse.
    ///
    /// # Panics
    ///
    /// When the browser fails.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.driver.browser_log().await.expect("the log");
        let is_grave = |level: &str| matches!(level, "WARNING" | "SEVERE");
        log.into_iter().filter(|entry| is_grave(&entry.level)).map(|entry| entry.message).collect()
    }

    async fn tell(&self, command: &str, parameters: Value) {
        self.driver.cdp().send_raw(command, parameters).await.expect("the browser does as it is told");
    }

    /// Ends it; without this, it is killed.
    pub async fn close(self) {
        // Its process ends now in any case.
        let _ = self.driver.quit().await;
    }
}
