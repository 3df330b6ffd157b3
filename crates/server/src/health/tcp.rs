//! Ports that are looked at (`health.tcp` of Distribution's configuration). What is found is told, and nothing else:
//! nobody is refused and no instance is taken out because of a port.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::app::App;

/// A port to look at.
#[derive(Clone, Debug)]
pub struct TcpCheck {
    /// `host:port`.
    pub address: String,
    /// How long connecting may take.
    pub timeout: Duration,
    /// Time between two looks.
    pub interval: Duration,
    /// Failures in a row that count.
    pub threshold: u64,
}

/// What was found, by address: failures in a row that count, with the last error.
#[derive(Debug, Default)]
pub(crate) struct Ports(parking_lot::Mutex<BTreeMap<String, Option<String>>>);

impl Ports {
    /// `ok` or the error, by address.
    pub(crate) fn told(&self) -> Value {
        let ports = self.0.lock();
        let one = |(address, error): (&String, &Option<String>)| {
            let status = if error.is_none() { "ok" } else { "failing" };
            (address.clone(), json!({ "status": status, "error": error }))
        };
        Value::Object(ports.iter().map(one).collect())
    }

    /// Addresses, and whether they answer.
    pub(crate) fn answering(&self) -> Vec<(String, bool)> {
        self.0.lock().iter().map(|(address, error)| (address.clone(), error.is_none())).collect()
    }

    /// Notes a look; says whether that changed anything.
    fn note(&self, address: &str, error: Option<String>) -> bool {
        let failing = error.is_some();
        let before = self.0.lock().insert(address.to_owned(), error);
        match before {
            None => failing,
            Some(before) => before.is_some() != failing,
        }
    }
}

/// Looks at a port for ever.
pub async fn look_forever(app: Arc<App>, check: TcpCheck) {
    let mut failures = 0;
    loop {
        let connected = tokio::time::timeout(check.timeout, TcpStream::connect(&check.address)).await;
        let error = match connected {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no connection within {} ms", check.timeout.as_millis())),
        };
        failures = if error.is_some() { failures + 1 } else { 0 };
        let counts = error.filter(|_| failures >= check.threshold);
        if counts.is_some() || failures == 0 {
            let (address, why) = (&check.address, counts.clone());
            match (app.health.ports.note(address, counts), why) {
                (true, Some(error)) => {
                    tracing::info!(address, error, "a port that is looked at does not answer (health.tcp)");
                }
                (true, None) => tracing::info!(address, "a port that is looked at answers (health.tcp)"),
                (false, _) => {}
            }
        }
        tokio::time::sleep(check.interval).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_told_and_every_port_is_listed() {
        let ports = Ports::default();
        let refused = || Some("refused".to_owned());
        assert!(ports.note("first:1", refused()));
        assert!(!ports.note("redis:1", None), "that all is well is no news");
        assert!(ports.note("redis:1", refused()));
        assert!(!ports.note("redis:1", refused()));
        assert_eq!(ports.told()["redis:1"], json!({ "status": "failing", "error": "refused" }));
        assert!(ports.note("redis:1", None));
        assert_eq!(ports.answering(), [("first:1".to_owned(), false), ("redis:1".to_owned(), true)]);
    }
}
