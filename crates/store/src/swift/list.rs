//! Listings, in the order of names.
//!
//! Swift sorts what lies below a delimiter as if the delimiter belonged to the name: `a-b/` comes before `a/`, since `-`
//! and `.` sort before `/`. Pages here are in the order of the names without it. After a page of Swift's, the only names
//! that were not seen and yet come earlier are beginnings of the last one seen: these few are looked up.

use std::collections::BTreeMap;

use wharfinger_swift::{Entry as Row, Listing};

use super::{Inner, error};
use crate::error::optional;
use crate::{Entry, Key, List, Operation, Page, Result, Store, Swift};

/// Rows asked for beyond what is needed, so that those that are not wanted rarely cost a second page.
const SPARE: usize = 64;

/// What is looked for directly below a prefix.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    /// All names, with everything below them where that is wanted.
    Names { shallow: bool },
    /// Names below which this object exists.
    Holding(&'a str),
}

impl Swift {
    pub(super) async fn page(&self, prefix: &Key, options: &List) -> Result<Page> {
        self.collect(prefix, options, Wanted::Names { shallow: options.shallow }).await
    }

    pub(super) async fn page_holding(&self, prefix: &Key, leaf: &str, options: &List) -> Result<Page> {
        self.collect(prefix, options, Wanted::Holding(leaf)).await
    }

    async fn collect(&self, prefix: &Key, options: &List, wanted: Wanted<'_>) -> Result<Page> {
        let inner: &Inner = &self.inner;
        let start = inner.names.object(prefix) + "/";
        let rows = match wanted {
            Wanted::Names { .. } => options.limit.saturating_add(SPARE),
            // A tag has its own link, and one for each manifest that it ever pointed to.
            Wanted::Holding(_) => options.limit.saturating_mul(2).saturating_add(SPARE),
        };
        let shallow = matches!(wanted, Wanted::Names { shallow: true });
        let capabilities = inner.client.capabilities().await.ok();
        // More than the cluster allows would be refused: where that is not known, it decides how much a page has.
        let largest = capabilities.and_then(|known| known.listing_limit);
        let mut listing = Listing {
            prefix: start.clone(),
            delimiter: shallow.then(|| "/".to_owned()),
            marker: options.after.as_ref().map(|after| format!("{start}{after}")),
            limit: largest.map(|largest| rows.min(largest)),
            ..Listing::default()
        };
        let mut found = BTreeMap::new();
        loop {
            let page = inner.container.list(&listing).await;
            let page = page.map_err(|failure| error::of(Operation::List, prefix, failure))?;
            let last = page.entries.last().map(|row| row.name().to_owned());
            for row in &page.entries {
                if let Some((name, below)) =
                    row.name().strip_prefix(&start).and_then(|name| wanted.take(row, name))
                    && options.after.as_deref().is_none_or(|after| name > after)
                {
                    found.insert(name.to_owned(), below);
                }
            }
            let Some(last) = last.filter(|_| page.more) else {
                return Ok(first(found, options.limit, false));
            };
            if found.len() > options.limit {
                if !matches!(wanted, Wanted::Names { shallow: false }) {
                    self.add_beginnings(prefix, options, &last[start.len()..], wanted, &mut found).await?;
                }
                return Ok(first(found, options.limit, true));
            }
            // Whatever lies below a prefix was answered by it: no character of a key sorts behind `~`.
            listing.marker = Some(if last.ends_with('/') { last + "~" } else { last });
        }
    }

    /// Looks up the names that sort before what was found, though Swift lists them after `seen`.
    async fn add_beginnings(
        &self,
        prefix: &Key,
        options: &List,
        seen: &str,
        wanted: Wanted<'_>,
        found: &mut BTreeMap<String, bool>,
    ) -> Result<()> {
        for name in beginnings(seen) {
            if found.contains_key(name) || options.after.as_deref().is_some_and(|after| name <= after) {
                continue;
            }
            let exists = match wanted {
                Wanted::Holding(leaf) => optional(self.head(&prefix.join(name).join(leaf)).await)?.is_some(),
                Wanted::Names { .. } => {
                    let start = self.inner.names.object(&prefix.join(name)) + "/";
                    let one = Listing { prefix: start, limit: Some(1), ..Listing::default() };
                    let page = self.inner.container.list(&one).await;
                    let page = page.map_err(|failure| error::of(Operation::List, prefix, failure))?;
                    !page.entries.is_empty()
                }
            };
            if exists {
                found.insert(name.to_owned(), true);
            }
        }
        Ok(())
    }
}

impl Wanted<'_> {
    /// The name that a row tells of, and whether there is something below it.
    fn take<'n>(self, row: &Row, name: &'n str) -> Option<(&'n str, bool)> {
        let taken = match (self, row) {
            (Wanted::Names { .. }, Row::Subdir(_)) => (name.trim_end_matches('/'), true),
            (Wanted::Names { .. }, Row::Object { .. }) => (name, false),
            (Wanted::Holding(leaf), _) => (name.strip_suffix(leaf)?.strip_suffix('/')?, true),
        };
        let direct = matches!(self, Wanted::Names { .. }) || !taken.0.contains('/');
        (direct && !taken.0.is_empty()).then_some(taken)
    }
}

/// The beginnings of a row's first component that Swift sorts behind it: those that go on with a character before `/`.
fn beginnings(row: &str) -> impl Iterator<Item = &str> {
    let name = row.split('/').next().unwrap_or(row);
    let borders = name.bytes().enumerate().filter(|(at, byte)| *at > 0 && *byte < b'/');
    borders.map(|(at, _)| &name[..at])
}

fn first(found: BTreeMap<String, bool>, limit: usize, unseen: bool) -> Page {
    let more = unseen || found.len() > limit;
    let entry = |(name, below)| if below { Entry::Prefix(name) } else { Entry::Object(name) };
    Page { entries: found.into_iter().take(limit).map(entry).collect(), more }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_swift_sorts_behind_a_name_are_its_beginnings_before_a_dash_or_a_dot() {
        let of = |row| beginnings(row).collect::<Vec<_>>();
        assert_eq!(of("2024-01.5-x/current/link"), ["2024", "2024-01", "2024-01.5"]);
        assert_eq!(of("plain/"), Vec::<&str>::new());
        for (earlier, name) in [("2024/", "2024-01/"), ("1.0/", "1.0.1/")] {
            assert!(name < earlier, "Swift lists {name} first");
        }
    }
}
