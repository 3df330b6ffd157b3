//! Reports for people.

use std::fmt::Write;

use wharfinger_maintenance::segments::Orphans;

use crate::units::size;

/// Lines of one list; JSON has all.
const LINES: usize = 50;

/// Text that lines are added to. Writing to a `String` cannot fail.
pub(crate) struct Page(String);

impl Page {
    pub(crate) fn new() -> Page {
        Page(String::new())
    }

    pub(crate) fn line(&mut self, text: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{text}");
    }

    pub(crate) fn title(&mut self, text: impl std::fmt::Display) {
        if !self.0.is_empty() {
            self.line("");
        }
        self.line(text);
    }

    /// At most so many lines that a reader takes in.
    pub(crate) fn list<T: std::fmt::Display>(&mut self, items: impl ExactSizeIterator<Item = T>) {
        let more = items.len().saturating_sub(LINES);
        for item in items.take(LINES) {
            self.line(format_args!("  {item}"));
        }
        if more > 0 {
            self.line(format_args!("  and {more} more (--output json has all)"));
        }
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }
}

/// `1 tag`, `2 tags`.
pub(crate) fn count(number: u64, what: &str) -> String {
    let plural = match what.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{what}s"),
    };
    if number == 1 { format!("1 {what}") } else { format!("{number} {plural}") }
}

/// One line about segments that no object names.
pub(crate) fn orphan(orphans: &Orphans) -> String {
    let whose = match (&orphans.repository, &orphans.upload) {
        (Some(repository), Some(upload)) => format!("{repository}, upload {upload}"),
        (None, Some(session)) => format!("session {session}"),
        _ => orphans.prefix.clone(),
    };
    let newest = orphans.newest.as_ref().map(|at| format!(", newest of {at}")).unwrap_or_default();
    format!("{whose}: {}, {}{newest}", count(orphans.segments, "segment"), size(orphans.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut() {
        let mut page = Page::new();
        page.list(0..60);
        let text = page.finish();
        assert_eq!(text.lines().count(), 51);
        assert!(text.ends_with("  and 10 more (--output json has all)\n"));
    }
}
