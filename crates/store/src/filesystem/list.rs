//! Listing directories in order, with the sorted names of unchanged directories kept in memory.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::Root;
use crate::{Entry, Key, List, Page};

/// Names kept over all directories; past it everything is dropped.
const MAX_NAMES: usize = 2_000_000;
/// A directory changed this recently may change again within the same tick of its clock, so it is not kept.
const SETTLED: Duration = Duration::from_millis(50);

/// Sorted names by directory, each valid while the directory's modification time stands.
#[derive(Debug, Default)]
pub(super) struct Listings {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    directories: HashMap<PathBuf, (SystemTime, Arc<[Entry]>)>,
    names: usize,
}

impl Listings {
    fn get(&self, path: &Path, modified: SystemTime) -> Option<Arc<[Entry]>> {
        let known = self.known.lock();
        known.directories.get(path).filter(|(at, _)| *at == modified).map(|(_, entries)| entries.clone())
    }

    fn keep(&self, path: &Path, modified: SystemTime, entries: &Arc<[Entry]>) {
        if modified.elapsed().unwrap_or_default() < SETTLED {
            return;
        }
        let mut known = self.known.lock();
        if known.names + entries.len() > MAX_NAMES {
            *known = Known::default();
        }
        known.names += entries.len();
        if let Some((_, old)) = known.directories.insert(path.to_owned(), (modified, entries.clone())) {
            known.names -= old.len();
        }
    }
}

impl Root {
    pub(super) fn list(&self, prefix: &Key, options: &List) -> io::Result<Page> {
        let mut page = Page::default();
        let path = self.path_of(prefix);
        if options.shallow {
            let entries = self.directory(&path)?;
            let start = match &options.after {
                Some(after) => entries.partition_point(|entry| entry.name() <= after.as_str()),
                None => 0,
            };
            let end = entries.len().min(start.saturating_add(options.limit));
            page.entries = entries[start..end].to_vec();
            page.more = end < entries.len();
        } else {
            self.walk(&path, "", options, &mut page)?;
        }
        Ok(page)
    }

    /// Adds all files below `path` in byte order of their names; `name` is the path relative to the prefix.
    pub(super) fn walk(&self, path: &Path, name: &str, options: &List, page: &mut Page) -> io::Result<()> {
        let entries = self.directory(path)?;
        let mut ordered: Vec<(String, &Entry)> = entries
            .iter()
            .map(|entry| match entry {
                Entry::Prefix(part) => (format!("{name}{part}/"), entry),
                Entry::Object(part) => (format!("{name}{part}"), entry),
            })
            .collect();
        ordered.sort_by(|a, b| a.0.cmp(&b.0));
        for (full, entry) in ordered {
            let after = options.after.as_deref().unwrap_or("");
            match entry {
                // Every name below `full` is smaller than `after`, unless `after` itself lies below it.
                Entry::Prefix(_) if full.as_str() < after && !after.starts_with(&full) => {}
                Entry::Prefix(part) => self.walk(&path.join(part), &full, options, page)?,
                Entry::Object(_) if options.after.is_some() && full.as_str() <= after => {}
                Entry::Object(_) if page.entries.len() == options.limit => page.more = true,
                Entry::Object(_) => page.entries.push(Entry::Object(full)),
            }
            if page.more {
                break;
            }
        }
        Ok(())
    }

    /// The sorted entries of a directory; empty where there is none.
    fn directory(&self, path: &Path) -> io::Result<Arc<[Entry]>> {
        let absent = |error: &io::Error| {
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        };
        let modified = match std::fs::metadata(path).and_then(|metadata| metadata.modified()) {
            Ok(modified) => modified,
            Err(error) if absent(&error) => return Ok(Arc::new([])),
            Err(error) => return Err(error),
        };
        if let Some(entries) = self.listings.get(path, modified) {
            return Ok(entries);
        }
        let directory = match std::fs::read_dir(path) {
            Ok(directory) => directory,
            Err(error) if absent(&error) => return Ok(Arc::new([])),
            Err(error) => return Err(error),
        };
        let mut entries = Vec::new();
        for entry in directory {
            let entry = entry?;
            // Names that are not text are not ours.
            let Ok(name) = entry.file_name().into_string() else { continue };
            entries.push(if entry.file_type()?.is_dir() { Entry::Prefix(name) } else { Entry::Object(name) });
        }
        entries.sort_by(|a, b| a.name().cmp(b.name()));
        let entries: Arc<[Entry]> = entries.into();
        self.listings.keep(path, modified, &entries);
        Ok(entries)
    }
}
