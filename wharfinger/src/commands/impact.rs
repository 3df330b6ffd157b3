//! `wharfinger impact`.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use wharfinger_maintenance::Effort;
use wharfinger_maintenance::fsck::Site;
use wharfinger_maintenance::impact::{self, Question};
use wharfinger_registry::Registry;

use crate::cli::{Impact, Output};
use crate::page::{Page, count};
use crate::progress::Progress;
use crate::storage::Backend;
use crate::units::size;
use crate::wiring;

pub(crate) fn run(arguments: &Impact) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(ask(arguments))
}

async fn ask(arguments: &Impact) -> Result<ExitCode> {
    let walk = &arguments.walk;
    let question = question(arguments)?;
    let config = wiring::load_as_it_is(walk.config.as_deref(), &[])?.config;
    let backend = Backend::open_to_read(&config)?;
    let registry = Registry::new(backend.read_only(), wiring::registry_options(&config)?);
    let site = Site { registry: &registry, inventory: backend.inventory() };
    let (progress, effort) =
        (Progress::new(), Effort { parallel: usize::from(walk.parallel), rate: walk.rate });
    let found = impact::impact(site, &question, effort, &progress).await;
    progress.clear();
    let found = found.context("the store cannot be looked at")?;
    match walk.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&found)?),
        Output::Text => print!("{}", text(&found)),
    }
    Ok(ExitCode::from(match (found.unknown.is_empty(), found.uses.is_empty()) {
        (false, _) => 2,
        (true, true) => 1,
        (true, false) => 0,
    }))
}

fn question(arguments: &Impact) -> Result<Question> {
    let text = arguments.digest.as_ref().or(arguments.object.as_ref()).context("--digest or --object")?;
    let question = impact::question(text);
    if arguments.digest.is_some() && !matches!(question, Question::Digest(_)) {
        bail!("--digest {text:?} is no digest: expected sha256: and 64 hex digits");
    }
    Ok(question)
}

fn text(found: &impact::Impact) -> String {
    let mut page = Page::new();
    let Some(digest) = &found.digest else {
        page.line("No object consists of that segment: it is left over, or of an upload in progress");
        return page.finish();
    };
    let bytes = found.size.map_or("its bytes are not whole in the store".to_owned(), size);
    page.line(format_args!("{} {digest}, {bytes}", found.kind));
    let images = found.uses.iter().map(|used| used.images.len() as u64).sum();
    page.title(match found.uses.is_empty() {
        true => "Nothing uses it".to_owned(),
        false => {
            format!("Used by {} in {}", count(images, "image"), count(found.uses.len() as u64, "repository"))
        }
    });
    let lines = found.uses.iter().flat_map(|used| match used.images.is_empty() {
        true => vec![format!("{} (a link alone)", used.repository)],
        false => used.images.iter().map(|image| super::fsck::used(&image.image, &image.happened)).collect(),
    });
    page.list(lines.collect::<Vec<_>>().into_iter());
    if !found.unknown.is_empty() {
        page.title("Could not be read; there may be more");
        page.list(found.unknown.iter());
    }
    page.finish()
}
