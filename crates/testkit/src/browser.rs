//! A headless browser.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
pub use thirtyfour::{By, Key};
use thirtyfour::{ChromiumLikeCapabilities, DesiredCapabilities, LoggingPrefsLogLevel, WebDriver};

use crate::port::free_port;
use crate::process::Process;
use crate::scratch::Scratch;

/// Time limit for the start of a browser.
const LONG: Duration = Duration::from_secs(60);

/// Containers provide no sandbox. The browser's own requests must not reach the network.
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

/// Chromium with a new profile, controlled by its own chromedriver. Dropping this value ends both.
///
/// If the browser fails, each step panics with the reason, since a test can't handle that.
pub struct Browser {
    driver: WebDriver,
    /// Declared after the driver, which communicates with it until it is dropped.
    process: Process,
    _profile: Scratch,
}

impl std::fmt::Debug for Browser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Browser").field("process", &self.process).finish_non_exhaustive()
    }
}

impl Browser {
    /// Starts the browser.
    ///
    /// # Panics
    ///
    /// If `chromium` or `chromedriver` is missing (Debian: `apt-get install chromium
    /// chromium-driver`) or doesn't start.
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

    /// The driver, for operations without a method here.
    pub fn driver(&self) -> &WebDriver {
        &self.driver
    }

    /// Loads a page.
    ///
    /// # Panics
    ///
    /// If the browser fails.
    pub async fn open(&self, url: &str) {
        self.driver.goto(url).await.expect("the page loads");
    }

    /// Runs the body of a function in the page, and returns its result.
    ///
    /// # Panics
    ///
    /// If the script throws an exception.
    pub async fn script(&self, body: &str) -> Value {
        self.driver.execute(body, Vec::new()).await.expect("the script runs").json().clone()
    }

    /// Presses Tab, which moves the focus to the next control.
    ///
    /// # Panics
    ///
    /// If the browser fails.
    pub async fn press_tab(&self) {
        let keys = self.driver.action_chain().send_keys(Key::Tab);
        keys.perform().await.expect("the key is pressed");
    }

    /// Sets the size of the viewport and the preferred colour scheme.
    ///
    /// # Panics
    ///
    /// If the browser fails.
    pub async fn look(&self, width: u32, height: u32, is_dark: bool) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.tell("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.tell("Emulation.setEmulatedMedia", features).await;
    }

    /// Writes a screenshot to a file.
    ///
    /// # Panics
    ///
    /// If the browser fails, or the file can't be written.
    pub async fn screenshot(&self, path: &Path) {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).expect("a directory for pictures");
        }
        self.driver.screenshot(path).await.expect("a picture");
    }

    /// Returns the console messages since the last call, of level warning or above.
    ///
    /// # Panics
    ///
    /// If the browser fails.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.driver.browser_log().await.expect("the log");
        let is_grave = |level: &str| matches!(level, "WARNING" | "SEVERE");
        log.into_iter().filter(|entry| is_grave(&entry.level)).map(|entry| entry.message).collect()
    }

    async fn tell(&self, command: &str, parameters: Value) {
        self.driver.cdp().send_raw(command, parameters).await.expect("the browser runs the command");
    }

    /// Closes the browser. Otherwise it is killed when it is dropped.
    pub async fn close(self) {
        // The process ends now in any case.
        let _ = self.driver.quit().await;
    }
}
