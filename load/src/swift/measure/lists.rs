//! Pages of the catalog and of a long list of tags, over links that were put into Swift directly.

use std::time::Duration;

use anyhow::Result;

use crate::figure::{Figure, Figures};
use crate::measure::pages::{self, List, TAGS_REPOSITORY};
use crate::peer::Kind;
use crate::stats::percentile;
use crate::swift::Bench;

/// Both servers read the same containers.
const CATALOG: &str = "catalog";
const TAGS: &str = "tags";

const ROOT: &str = "files/docker/registry/v2/repositories";

/// Pages of the catalog.
pub(super) fn catalog(bench: &mut Bench, kind: Kind) -> Result<Figures> {
    let count = bench.sizes.repositories;
    if bench.prepares(CATALOG) {
        let digest = bench.corpus().manifest.digest;
        let (algorithm, hex) = (digest.algorithm().as_str(), digest.hex());
        // What each repository has at least: a layer, a manifest, a tag.
        let links = [
            format!("_layers/{algorithm}/{hex}/link"),
            format!("_manifests/revisions/{algorithm}/{hex}/link"),
            "_manifests/tags/latest/current/link".to_owned(),
        ];
        bench.cloud.fill(CATALOG, count * links.len(), |index| {
            let (repository, link) = (pages::repository(index / links.len()), &links[index % links.len()]);
            (format!("{ROOT}/{repository}/{link}"), digest.to_string())
        })?;
    }
    pages(bench, kind, CATALOG, List::Catalog(count))
}

/// Pages of tags.
pub(super) fn tags(bench: &mut Bench, kind: Kind) -> Result<Figures> {
    let count = bench.sizes.tags;
    if bench.prepares(TAGS) {
        let digest = bench.corpus().manifest.digest;
        let (algorithm, hex) = (digest.algorithm().as_str(), digest.hex());
        let links = ["current/link".to_owned(), format!("index/{algorithm}/{hex}/link")];
        bench.cloud.fill(TAGS, count * links.len(), |index| {
            let (tag, link) = (pages::tag(index / links.len()), &links[index % links.len()]);
            (format!("{ROOT}/{TAGS_REPOSITORY}/_manifests/tags/{tag}/{link}"), digest.to_string())
        })?;
    }
    pages(bench, kind, TAGS, List::Tags(count))
}

/// The first page and one in the middle in turn, after one of each that is not counted.
fn pages(bench: &Bench, kind: Kind, container: &str, list: List) -> Result<Figures> {
    let registry = bench.start_registry(kind, container)?;
    pages::run(&registry.target, list, 1, Duration::ZERO)?;
    let mark = bench.cloud.cluster().mark();
    let mut pages = pages::run(&registry.target, list, 10, Duration::from_secs(8))?;
    let requests = bench.cloud.requests_since(mark, container);
    let mut figures = Figures::default();
    figures.set(Figure::SwiftRequests, requests as f64 / pages.latencies.len() as f64);
    figures.set(Figure::PageMs, percentile(&mut pages.latencies, 50.0) as f64 / 1e6);
    figures.set(Figure::WholeListSent, f64::from(u8::from(pages.ignores_n)));
    Ok(figures)
}
