//! The part of the benchmarks page that the Swift comparison writes, between two marks: the other comparison keeps
//! it, and this one keeps the rest.

const BEGIN: &str =
    "<!-- Swift: written by `cargo xtask bench --swift`; edit benchmarks-swift-notes.md -->\n";
const END: &str = "<!-- Swift: end -->\n";

/// `page` with `section` between the marks; at its end where it has no marks yet.
pub(crate) fn put(page: &str, section: &str) -> String {
    let (before, after) = match position(page) {
        Some((begin, end)) => (&page[..begin], &page[end..]),
        None => (page, ""),
    };
    format!("{}\n\n{BEGIN}\n{}\n\n{END}{after}", before.trim_end(), section.trim())
}

/// `page` with the section that `old` has, if it has one.
pub(crate) fn keep(page: String, old: &str) -> String {
    match position(old) {
        Some((begin, end)) => put(&page, &old[begin + BEGIN.len()..end - END.len()]),
        None => page,
    }
}

/// From the first mark to behind the second.
fn position(page: &str) -> Option<(usize, usize)> {
    let begin = page.find(BEGIN)?;
    let end = begin + page[begin..].find(END)? + END.len();
    Some((begin, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_rest_of_the_page_stays() {
        let first = put("# Page\n\ntext\n", "## Swift\n\none");
        assert_eq!(first, format!("# Page\n\ntext\n\n{BEGIN}\n## Swift\n\none\n\n{END}"));
        let after = first.clone() + "\nmore\n";
        assert_eq!(put(&after, "two"), format!("# Page\n\ntext\n\n{BEGIN}\ntwo\n\n{END}\nmore\n"));
    }

    #[test]
    fn a_new_page_keeps_the_section_of_the_old_one() {
        let old = put("# Old\n", "## Swift");
        assert_eq!(keep("# New\n".to_owned(), &old), put("# New\n", "## Swift"));
        assert_eq!(keep("# New\n".to_owned(), "# Old\n"), "# New\n");
    }
}
