//! Listings: names in the order of their bytes, by prefix, marker, delimiter and limit.

use serde_json::{Value, json};

use crate::http::{Head, Reply, yes};

/// What a listing asks for (`swift/container/backend.py`, `list_objects_iter`).
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    limit: usize,
    marker: String,
    end_marker: String,
    prefix: String,
    delimiter: String,
    /// The old `path`: one level below it, without subdirectories.
    path: Option<String>,
    reverse: bool,
}

/// An entry of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry<T> {
    Name(String, T),
    Subdir(String),
}

impl Query {
    /// Reads the parameters; 412 when more is asked for than one page holds.
    pub(crate) fn of(head: &Head, page_limit: usize) -> Result<Query, Reply> {
        let text = |name: &str| head.parameter(name).unwrap_or_default().to_owned();
        let limit = head.parameter("limit").and_then(|limit| limit.parse().ok()).unwrap_or(page_limit);
        if limit > page_limit {
            return Err(Reply::html(412, format!("Maximum limit is {page_limit}")));
        }
        let mut query = Query {
            limit,
            marker: text("marker"),
            end_marker: text("end_marker"),
            prefix: text("prefix"),
            delimiter: text("delimiter"),
            path: head.parameter("path").map(str::to_owned),
            reverse: head.parameter("reverse").is_some_and(yes),
        };
        if let Some(path) = &query.path {
            query.prefix = match path.trim_end_matches('/') {
                "" => String::new(),
                path => format!("{path}/"),
            };
            query.delimiter = "/".into();
        }
        Ok(query)
    }

    /// The page that is asked for, of names in ascending order.
    pub(crate) fn page<'a, T>(&self, names: impl Iterator<Item = (&'a String, T)>) -> Vec<Entry<T>> {
        let mut matching: Vec<(&String, T)> =
            names.filter(|(name, _)| name.starts_with(&self.prefix) && self.between(name)).collect();
        if self.reverse {
            matching.reverse();
        }
        let mut page: Vec<Entry<T>> = Vec::new();
        for (name, value) in matching {
            if page.len() >= self.limit {
                break;
            }
            match self.subdir(name) {
                None => page.push(Entry::Name(name.clone(), value)),
                Some(_) if self.path.is_some() => {}
                Some(dir) if dir == self.marker => {}
                Some(dir) => {
                    let repeated = matches!(page.last(), Some(Entry::Subdir(last)) if *last == dir);
                    if !repeated {
                        page.push(Entry::Subdir(dir));
                    }
                }
            }
        }
        page
    }

    fn between(&self, name: &str) -> bool {
        let (marker, end) = (self.marker.as_str(), self.end_marker.as_str());
        let after = |bound: &str| bound.is_empty() || if self.reverse { name < bound } else { name > bound };
        let before = |bound: &str| bound.is_empty() || if self.reverse { name > bound } else { name < bound };
        after(marker) && before(end)
    }

    fn subdir(&self, name: &str) -> Option<String> {
        if self.delimiter.is_empty() {
            return None;
        }
        let rest = &name[self.prefix.len()..];
        let at = rest.find(&self.delimiter)?;
        Some(name[..self.prefix.len() + at + self.delimiter.len()].to_owned())
    }
}

/// The page in the format that was asked for: JSON, or one name a line (204 when there is none).
pub(crate) fn render<T>(
    head: &Head,
    reply: Reply,
    page: Vec<Entry<T>>,
    describe: impl Fn(&str, &T) -> Value,
) -> Reply {
    let accepted = head.header("accept").is_some_and(|accept| accept.starts_with("application/json"));
    let wants_json = head.parameter("format").map_or(accepted, |format| format.eq_ignore_ascii_case("json"));
    if wants_json {
        let list: Vec<Value> = page
            .into_iter()
            .map(|entry| match entry {
                Entry::Name(name, value) => describe(&name, &value),
                Entry::Subdir(dir) => json!({ "subdir": dir }),
            })
            .collect();
        return reply
            .header("Content-Type", "application/json; charset=utf-8")
            .text(Value::Array(list).to_string());
    }
    let mut text = String::new();
    for entry in page {
        let (Entry::Name(name, _) | Entry::Subdir(name)) = entry;
        text.push_str(&name);
        text.push('\n');
    }
    let mut reply = reply.header("Content-Type", "text/plain; charset=utf-8");
    if text.is_empty() {
        reply.status = http::StatusCode::NO_CONTENT;
    }
    reply.text(text)
}
