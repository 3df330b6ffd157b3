//! The parts of the benchmarks page that the comparisons on Swift and of the cache write, each between two marks: the
//! other comparisons keep it, and it keeps the rest.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// A section by its marks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    begin: &'static str,
    end: &'static str,
}

/// On Swift.
pub(crate) const SWIFT: Section = Section {
    begin: "<!-- Swift: written by `cargo xtask bench --swift`; edit benchmarks-swift-notes.md -->\n",
    end: "<!-- Swift: end -->\n",
};

/// With the cache before Swift.
pub(crate) const CACHE: Section = Section {
    begin: "<!-- Cache: written by `cargo xtask bench --cache`; edit benchmarks-cache-notes.md -->\n",
    end: "<!-- Cache: end -->\n",
};

impl Section {
    /// Writes it into the page, which may not be there yet. `section` gets the remarks that a person wrote, if any.
    pub(crate) fn write(
        self,
        page: &Path,
        notes: &Path,
        section: impl FnOnce(Option<&str>) -> String,
    ) -> Result<()> {
        let notes = fs::read_to_string(notes).ok();
        let old = fs::read_to_string(page).unwrap_or_else(|_| "# Benchmarks\n".to_owned());
        let new = self.put(&old, &section(notes.as_deref()));
        fs::write(page, new).with_context(|| format!("writing {}", page.display()))
    }

    /// `page` with `text` between the marks; at its end where it has no marks yet.
    pub(crate) fn put(self, page: &str, text: &str) -> String {
        let Section { begin, end } = self;
        let (before, after) = match self.position(page) {
            Some((from, to)) => (&page[..from], &page[to..]),
            None => (page, ""),
        };
        format!("{}\n\n{begin}\n{}\n\n{end}{after}", before.trim_end(), text.trim())
    }

    /// From the first mark to behind the second.
    fn position(self, page: &str) -> Option<(usize, usize)> {
        let begin = page.find(self.begin)?;
        let end = begin + page[begin..].find(self.end)? + self.end.len();
        Some((begin, end))
    }
}

/// `page` with the sections that `old` has.
pub(crate) fn keep(page: String, old: &str) -> String {
    [SWIFT, CACHE].into_iter().fold(page, |page, section| match section.position(old) {
        Some((begin, end)) => section.put(&page, &old[begin + section.begin.len()..end - section.end.len()]),
        None => page,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_rest_of_the_page_stays() {
        let Section { begin, end } = SWIFT;
        let first = SWIFT.put("# Page\n\ntext\n", "## Swift\n\none");
        assert_eq!(first, format!("# Page\n\ntext\n\n{begin}\n## Swift\n\none\n\n{end}"));
        let after = first.clone() + "\nmore\n";
        assert_eq!(SWIFT.put(&after, "two"), format!("# Page\n\ntext\n\n{begin}\ntwo\n\n{end}\nmore\n"));
    }

    #[test]
    fn sections_stand_beside_one_another() {
        let both = CACHE.put(&SWIFT.put("# Page\n", "swift"), "cache");
        assert_eq!(CACHE.put(&SWIFT.put(&both, "swift"), "cache"), both);
        assert!(SWIFT.put(&both, "new").ends_with(&CACHE.put("", "cache")));
    }

    #[test]
    fn a_new_page_keeps_the_sections_of_the_old_one() {
        let old = CACHE.put(&SWIFT.put("# Old\n", "## Swift"), "## Cache");
        assert_eq!(
            keep("# New\n".to_owned(), &old),
            CACHE.put(&SWIFT.put("# New\n", "## Swift"), "## Cache")
        );
        assert_eq!(keep("# New\n".to_owned(), "# Old\n"), "# New\n");
    }
}
