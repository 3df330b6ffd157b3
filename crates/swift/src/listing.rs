//! Listings of a container.

use std::time::SystemTime;

use futures::Stream;
use http::header::ACCEPT;
use http::{HeaderValue, Method};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::url::encode;
use crate::{Container, ErrorKind, Result};

/// Most bytes of one page: 10000 entries of 1024 bytes, each byte escaped.
const PAGE_SIZE: usize = 96 * 1024 * 1024;
/// Swift's own limit of a page, where `limit` is not given.
const PAGE: usize = 10_000;

/// What to list. Names come in the order of their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Names that begin with this.
    pub prefix: String,
    /// Names that go on after `prefix` with this become one [`Entry::Subdir`].
    pub delimiter: Option<String>,
    /// Names after this one (before it, if `reverse`).
    pub marker: Option<String>,
    /// Names before this one (after it, if `reverse`).
    pub end_marker: Option<String>,
    /// Most entries of a page. Default: what Swift allows, mostly 10000.
    pub limit: Option<usize>,
    /// Backwards.
    pub reverse: bool,
}

impl Listing {
    /// Names that begin with `prefix`.
    pub fn prefix(prefix: impl Into<String>) -> Listing {
        Listing { prefix: prefix.into(), ..Listing::default() }
    }

    fn query(&self) -> String {
        let mut query = "format=json".to_owned();
        let mut add = |key: &str, value: &str| {
            if !value.is_empty() {
                query.push('&');
                query.push_str(key);
                query.push('=');
                query.push_str(&encode(value));
            }
        };
        add("prefix", &self.prefix);
        add("delimiter", self.delimiter.as_deref().unwrap_or_default());
        add("marker", self.marker.as_deref().unwrap_or_default());
        add("end_marker", self.end_marker.as_deref().unwrap_or_default());
        if let Some(limit) = self.limit {
            add("limit", &limit.to_string());
        }
        if self.reverse {
            add("reverse", "true");
        }
        query
    }
}

/// One page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// What is on it.
    pub entries: Vec<Entry>,
    /// Whether to ask again with the last entry's name as the marker. A page that is not full is the last one.
    pub more: bool,
}

/// One line of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An object.
    Object {
        /// Its name.
        name: String,
        /// Its size in bytes; 0 for a DLO, the whole size for an SLO.
        bytes: u64,
        /// MD5 in hex of its bytes; of a manifest, what Swift chose.
        hash: String,
        /// When it was written, to the microsecond.
        last_modified: Option<SystemTime>,
        /// Its media type.
        content_type: String,
    },
    /// What names have in common up to and with the delimiter.
    Subdir(String),
}

impl Entry {
    /// The name, or what names have in common.
    pub fn name(&self) -> &str {
        match self {
            Entry::Object { name, .. } | Entry::Subdir(name) => name,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Row {
    Subdir {
        subdir: String,
    },
    Object {
        name: String,
        bytes: u64,
        hash: String,
        last_modified: String,
        #[serde(default)]
        content_type: String,
    },
}

impl From<Row> for Entry {
    fn from(row: Row) -> Entry {
        match row {
            Row::Subdir { subdir } => Entry::Subdir(subdir),
            Row::Object { name, bytes, hash, last_modified, content_type } => {
                // Swift's times are UTC and do not say so.
                let at = OffsetDateTime::parse(&format!("{last_modified}Z"), &Rfc3339);
                Entry::Object { name, bytes, hash, last_modified: at.ok().map(Into::into), content_type }
            }
        }
    }
}

impl Container {
    /// One page of the listing. Listings lag behind writes and may lack objects that can be read by name, or show some
    /// that are gone.
    pub async fn list(&self, listing: &Listing) -> Result<Page> {
        let mut call = self.call(Method::GET);
        call.query = listing.query();
        call.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let answer = self.client.inner.fetch(&call, PAGE_SIZE).await?;
        if answer.body.is_empty() {
            return Ok(Page::default());
        }
        let rows: Vec<Row> = serde_json::from_slice(&answer.body).map_err(|error| {
            let message = format!("the listing cannot be read: {error}");
            call.name(answer.error(ErrorKind::Protocol, message))
        })?;
        let full = listing.limit.unwrap_or(PAGE).min(PAGE);
        // Clusters with a lower limit cut pages short without saying so: only an empty page is surely the last.
        let more = match listing.limit {
            Some(0) => false,
            Some(_) => rows.len() >= full,
            None => !rows.is_empty(),
        };
        Ok(Page { entries: rows.into_iter().map(Entry::from).collect(), more })
    }

    /// All pages of the listing from `listing.marker` on.
    pub fn pages(&self, listing: Listing) -> impl Stream<Item = Result<Page>> + Send + use<> {
        let container = self.clone();
        futures::stream::try_unfold(Some(listing), move |listing| {
            let container = container.clone();
            async move {
                let Some(mut listing) = listing else { return Ok(None) };
                let page = container.list(&listing).await?;
                let next = page.entries.last().filter(|_| page.more).map(|last| {
                    listing.marker = Some(last.name().to_owned());
                    listing
                });
                Ok((!page.entries.is_empty()).then_some((page, next)))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_asked_for_with_escaped_names() {
        let listing = Listing {
            prefix: "a&b/".into(),
            delimiter: Some("/".into()),
            marker: Some("é".into()),
            limit: Some(5),
            reverse: true,
            ..Listing::default()
        };
        let query = "format=json&prefix=a%26b/&delimiter=/&marker=%C3%A9&limit=5&reverse=true";
        assert_eq!(listing.query(), query);
        assert_eq!(Listing::default().query(), "format=json");
    }

    #[test]
    fn rows_are_objects_or_what_names_have_in_common() {
        let body = r#"[{"subdir": "a/"}, {"name": "b", "bytes": 3, "hash": "h", "content_type": "t/x",
            "last_modified": "2020-01-01T00:00:01.500000"}]"#;
        let rows: Vec<Row> = serde_json::from_str(body).expect("rows");
        let entries: Vec<Entry> = rows.into_iter().map(Entry::from).collect();
        assert_eq!(entries[0], Entry::Subdir("a/".into()));
        let Entry::Object { last_modified: Some(at), bytes: 3, .. } = &entries[1] else {
            panic!("{entries:?}");
        };
        let since = at.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        assert_eq!(since.as_millis(), 1_577_836_801_500);
    }
}
