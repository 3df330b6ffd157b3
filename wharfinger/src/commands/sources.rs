//! Places that may have intact copies: the other sites, this machine's disk cache, backups.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use wharfinger_config::Config;
use wharfinger_maintenance::copies::Source;
use wharfinger_registry::cached_copies;
use wharfinger_store::Filesystem;
use wharfinger_store::layer::{Guarded, Permit};

use crate::storage::Backend;

/// Opens all of them, to be read alone.
pub(crate) fn open(config: &Config, backups: &[PathBuf]) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    if let Some(cache) = &config.cache {
        let directory = cached_copies(&cache.directory);
        // Without one there is nothing in it.
        if let Ok(store) = Filesystem::open_to_read(&directory) {
            sources
                .push(Source::cache(format!("disk cache {}", cache.directory.display()), read_only(store)));
        }
    }
    for peer in &config.replication.peers {
        let backend = Backend::open_peer(config, &peer.name)?;
        sources.push(Source::registry(format!("site {}", peer.name), backend.read_only()));
    }
    for directory in backups {
        let store = Filesystem::open_to_read(directory)
            .with_context(|| format!("--backup {}: it cannot be opened", directory.display()))?;
        sources.push(Source::registry(format!("backup {}", directory.display()), read_only(store)));
    }
    Ok(sources)
}

fn read_only(store: Filesystem) -> Arc<Guarded> {
    Arc::new(Guarded::new(Arc::new(store), Permit::ReadOnly))
}
