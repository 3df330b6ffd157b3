//! How an event becomes a line.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;
use wharfinger_config as config;

/// Writes events as text or JSON, with the configured fields on every line.
pub(super) struct Lines {
    pub(super) json: bool,
    /// `log.fields` of the configuration.
    pub(super) fields: BTreeMap<String, String>,
}

impl Lines {
    pub(super) fn of(log: &config::Log) -> Lines {
        Lines { json: log.format == config::LogFormat::Json, fields: log.fields.clone() }
    }
}

/// The fields of an event, the message apart.
#[derive(Default)]
struct Collected {
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl Visit for Collected {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.fields.push((field.name(), Value::String(text)));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.fields.push((field.name(), Value::String(value.to_owned())));
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.push((field.name(), value.into()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.push((field.name(), value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.push((field.name(), value.into()));
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut collected = Collected::default();
        event.record(&mut collected);
        let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "info",
            Level::DEBUG | Level::TRACE => "debug",
        };
        if self.json {
            self.json(&mut writer, &now, level, collected)
        } else {
            self.text(&mut writer, &now, level, &collected)
        }
    }
}

impl Lines {
    fn json(&self, writer: &mut Writer<'_>, now: &str, level: &str, collected: Collected) -> fmt::Result {
        let mut line = Map::new();
        for (key, value) in &self.fields {
            line.insert(key.clone(), Value::String(value.clone()));
        }
        for (key, value) in collected.fields {
            line.insert(key.to_owned(), value);
        }
        line.insert("time".to_owned(), now.into());
        line.insert("level".to_owned(), level.into());
        line.insert("msg".to_owned(), collected.message.into());
        writeln!(writer, "{}", Value::Object(line))
    }

    fn text(&self, writer: &mut Writer<'_>, now: &str, level: &str, collected: &Collected) -> fmt::Result {
        write!(writer, "time={now:?} level={level} msg={:?}", collected.message)?;
        for (key, value) in &self.fields {
            write!(writer, " {key}={}", quoted(value))?;
        }
        for (key, value) in &collected.fields {
            match value {
                Value::String(text) => write!(writer, " {key}={}", quoted(text))?,
                other => write!(writer, " {key}={other}")?,
            }
        }
        writer.write_char('\n')
    }
}

/// Quotes what would not be read back as one word.
fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._/@^+:".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) { text.to_owned() } else { format!("{text:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_only_where_they_must_be() {
        assert_eq!(quoted("team/app:1"), "team/app:1");
        assert_eq!(quoted(""), "\"\"");
        assert_eq!(quoted("two words"), "\"two words\"");
        assert_eq!(quoted("a\nb"), "\"a\\nb\"");
    }
}
