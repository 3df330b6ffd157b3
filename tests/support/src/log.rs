//! Log lines of a server under test.

use serde_json::Value;

/// One line of a log in JSON.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// The line as it was written.
    pub text: String,
    /// Its fields; `Null` when the line is not JSON.
    pub fields: Value,
}

impl LogLine {
    /// Reads all lines of a server's output.
    pub fn parse_all(output: &str) -> Vec<LogLine> {
        output.lines().map(LogLine::parse).collect()
    }

    fn parse(text: &str) -> LogLine {
        let fields = serde_json::from_str(text).unwrap_or(Value::Null);
        LogLine { text: text.to_owned(), fields }
    }

    /// The severity, in lower case; empty when the line is not JSON.
    pub fn level(&self) -> String {
        self.fields["level"].as_str().unwrap_or_default().to_ascii_lowercase()
    }

    /// The text of a field; empty when it is missing.
    pub fn field(&self, name: &str) -> String {
        match &self.fields[name] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }

    /// Whether an operator would be alarmed by this line.
    pub fn is_alarming(&self) -> bool {
        match self.level().as_str() {
            "warn" | "warning" | "error" | "fatal" | "panic" => true,
            "" => self.text.contains("panicked at") || self.text.starts_with("level=error"),
            _ => false,
        }
    }
}
