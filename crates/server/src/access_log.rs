//! The access log: Apache's combined format on standard output, as Distribution writes it.

use std::io::Write;
use std::net::IpAddr;

use http::header::{REFERER, USER_AGENT};
use http::{HeaderMap, HeaderName, Method, Uri, Version};
use parking_lot::Mutex;
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::sync::mpsc;

/// Lines that may wait for a slow reader of standard output; more are dropped and counted.
const QUEUE: usize = 8_192;

/// One request.
pub(crate) struct Line<'a> {
    pub(crate) peer: Option<IpAddr>,
    pub(crate) user: Option<&'a str>,
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) version: Version,
    pub(crate) status: u16,
    pub(crate) sent: u64,
    pub(crate) headers: &'a HeaderMap,
}

/// Writes lines from a thread of its own, so that nobody waits for the reader.
pub(crate) struct AccessLog {
    lines: Mutex<Option<mpsc::Sender<String>>>,
}

impl AccessLog {
    pub(crate) fn new(enabled: bool) -> AccessLog {
        let lines = enabled.then(|| {
            let (sender, mut receiver) = mpsc::channel::<String>(QUEUE);
            std::thread::spawn(move || {
                while let Some(line) = receiver.blocking_recv() {
                    if writeln!(std::io::stdout().lock(), "{line}").is_err() {
                        break;
                    }
                }
            });
            sender
        });
        AccessLog { lines: Mutex::new(lines) }
    }

    pub(crate) fn write(&self, line: &Line<'_>) {
        if let Some(sender) = &*self.lines.lock() {
            let _ = sender.try_send(format_line(line, OffsetDateTime::now_utc()));
        }
    }
}

fn format_line(line: &Line<'_>, now: OffsetDateTime) -> String {
    const FORMAT: &[time::format_description::FormatItem<'_>] =
        format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");
    let peer = line.peer.map_or_else(|| "-".to_owned(), |peer| peer.to_string());
    let user = line.user.map_or_else(|| "-".to_owned(), escape);
    let when = now.format(FORMAT).unwrap_or_default();
    let text = |name: HeaderName| {
        let value = line.headers.get(name).and_then(|value| value.to_str().ok());
        escape(value.unwrap_or(""))
    };
    format!(
        "{peer} - {user} [{when}] \"{} {} {:?}\" {} {} \"{}\" \"{}\"",
        line.method,
        line.uri.path_and_query().map_or("/", |path| path.as_str()),
        line.version,
        line.status,
        line.sent,
        text(REFERER),
        text(USER_AGENT),
    )
}

/// Quotes and control characters cannot end a field or a line.
fn escape(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c == '"' || c == '\\' || c.is_control() { c.escape_default().collect() } else { vec![c] }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_apaches_combined_format() {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, "docker/20 \"x\"".parse().unwrap());
        let line = Line {
            peer: Some("10.0.0.1".parse().unwrap()),
            user: None,
            method: &Method::GET,
            uri: &"/v2/?n=1".parse().unwrap(),
            version: Version::HTTP_11,
            status: 200,
            sent: 2,
            headers: &headers,
        };
        let at = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
        assert_eq!(
            format_line(&line, at),
            r#"10.0.0.1 - - [14/Nov/2023:22:13:20 +0000] "GET /v2/?n=1 HTTP/1.1" 200 2 "" "docker/20 \"x\"""#
        );
    }
}
