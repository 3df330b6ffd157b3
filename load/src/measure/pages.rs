//! Pages of a long tag list and of a long catalog.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::connection::Connection;
use crate::content::Corpus;
use crate::target::Target;

/// Tags in the long list.
pub(crate) const TAGS: usize = 10_000;
/// Repositories in the long catalog.
pub(crate) const REPOSITORIES: usize = 1_000;
/// Entries of a page.
pub(crate) const PAGE: usize = 100;

/// The repository of the long tag list.
pub(crate) const TAGS_REPOSITORY: &str = "load/tags";

/// The name of a tag of the long list.
pub(crate) fn tag(index: usize) -> String {
    format!("t{index:05}")
}

/// The name of a repository of the long catalog.
pub(crate) fn repository(index: usize) -> String {
    format!("catalog/r{index:04}")
}

/// Which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    /// That many tags of one repository.
    Tags(usize),
    /// That many repositories; a few more may be there, which sort after these.
    Catalog(usize),
}

/// What a list of pages cost.
pub(crate) struct Pages {
    /// Latency of each page in nanoseconds.
    pub(crate) latencies: Vec<u64>,
    /// The server answers `n` with the whole list.
    pub(crate) ignores_n: bool,
}

/// Asks in turn for the first page and for one in the middle, `times` each; every answer's names are compared.
pub(crate) fn run(target: &Target, list: List, times: usize, limit: Duration) -> Result<Pages> {
    let mut connection = target.connect()?;
    let mut pages = Pages { latencies: Vec::new(), ignores_n: false };
    let start = Instant::now();
    for _ in 0..times {
        for first in [0, list.count() / 2] {
            let path = list.path(first);
            let sent = Instant::now();
            let answer = connection.request("GET", &path, "", &[])?.expect(200, &path)?;
            pages.latencies.push(u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX));
            let names = list.names(&answer.body).with_context(|| format!("GET {path}"))?;
            pages.ignores_n |= list.check(first, &names).with_context(|| format!("GET {path}"))?;
        }
        if start.elapsed() > limit {
            break;
        }
    }
    Ok(pages)
}

impl List {
    fn count(self) -> usize {
        match self {
            List::Tags(count) | List::Catalog(count) => count,
        }
    }

    fn name(self, index: usize) -> String {
        match self {
            List::Tags(_) => tag(index),
            List::Catalog(_) => repository(index),
        }
    }

    fn path(self, first: usize) -> String {
        let base = match self {
            List::Tags(_) => format!("/v2/{TAGS_REPOSITORY}/tags/list?n={PAGE}"),
            List::Catalog(_) => format!("/v2/_catalog?n={PAGE}"),
        };
        if first == 0 { base } else { format!("{base}&last={}", self.name(first - 1)) }
    }

    fn names(self, body: &[u8]) -> Result<Vec<String>> {
        let mut value: serde_json::Value = serde_json::from_slice(body)?;
        let key = match self {
            List::Tags(_) => "tags",
            List::Catalog(_) => "repositories",
        };
        Ok(serde_json::from_value(value[key].take())?)
    }

    /// Whether the whole list came; an error if neither that nor the page did.
    fn check(self, first: usize, names: &[String]) -> Result<bool> {
        let page = names.len() == PAGE && names.iter().enumerate().all(|(i, n)| *n == self.name(first + i));
        // docker-registry 2.8 has no paging of tags and does not sort them.
        let whole = matches!(self, List::Tags(count) if names.len() == count);
        ensure!(
            page || whole,
            "{} names from {:?} on are not the page that was asked for",
            names.len(),
            names.first()
        );
        Ok(whole)
    }
}

/// Pushes the long tag list over `clients` connections.
pub(crate) fn seed_tags(target: &Target, corpus: &Corpus, clients: usize) -> Result<()> {
    let target = target.with_repository(TAGS_REPOSITORY);
    seed_parts(&target, &mut target.connect()?, corpus)?;
    in_parallel(target.address, clients, TAGS, |connection, index| {
        target.put_manifest(connection, &tag(index), &corpus.manifest.bytes)
    })
}

/// Pushes the long catalog: one tagged image in each repository.
pub(crate) fn seed_catalog(target: &Target, corpus: &Corpus, clients: usize) -> Result<()> {
    in_parallel(target.address, clients, REPOSITORIES, |connection, index| {
        let target = target.with_repository(&repository(index));
        seed_parts(&target, connection, corpus)?;
        target.put_manifest(connection, "latest", &corpus.manifest.bytes)
    })
}

/// Pushes the config and the layers of the manifest.
pub(crate) fn seed_parts(target: &Target, connection: &mut Connection, corpus: &Corpus) -> Result<()> {
    for part in &corpus.parts {
        target.put_blob(connection, &part.digest, &[&part.bytes])?;
    }
    Ok(())
}

/// Does `work` for each number below `count` over `clients` connections to `address`.
pub(crate) fn in_parallel(
    address: SocketAddr,
    clients: usize,
    count: usize,
    work: impl Fn(&mut Connection, usize) -> Result<()> + Sync,
) -> Result<()> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|first| {
                scope.spawn({
                    let work = &work;
                    move || -> Result<()> {
                        let mut connection = Connection::open(address)?;
                        (first..count).step_by(clients).try_for_each(|index| work(&mut connection, index))
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|t| t.join().unwrap_or_else(|_| anyhow::bail!("a client thread failed")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_must_hold_the_names_that_were_asked_for() {
        let page: Vec<String> = (5_000..5_100).map(tag).collect();
        assert!(!List::Tags(TAGS).check(5_000, &page).unwrap());
        assert!(List::Tags(TAGS).check(4_999, &page).is_err());
        assert!(List::Tags(TAGS).check(5_000, &page[1..]).is_err());
        let all: Vec<String> = (0..TAGS).map(tag).collect();
        assert!(List::Tags(TAGS).check(5_000, &all).unwrap());
        let all: Vec<String> = (0..REPOSITORIES).map(repository).collect();
        assert!(List::Catalog(REPOSITORIES).check(0, &all).is_err());
    }

    #[test]
    fn a_later_page_is_asked_for_by_the_last_name_before_it() {
        assert_eq!(List::Tags(TAGS).path(0), "/v2/load/tags/tags/list?n=100");
        assert_eq!(List::Catalog(REPOSITORIES).path(500), "/v2/_catalog?n=100&last=catalog/r0499");
    }
}
