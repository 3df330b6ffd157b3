//! "Did you mean": the nearest of some names.

/// The name among `names` that `word` is most likely a misspelling of.
pub(crate) fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    if word.len() > 64 {
        return None;
    }
    names
        .map(|name| (distance(&word, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + name.len().min(word.len()) / 5)
        .min()
        .map(|(_, name)| name)
}

/// Edit distance of two short words, counting underscores and hyphens as nothing.
fn distance(a: &str, b: &str) -> usize {
    let letters = |text: &str| text.chars().filter(|c| !matches!(c, '_' | '-')).collect::<Vec<_>>();
    let (a, b) = (letters(a), letters(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_is_recognised_and_a_stranger_is_not() {
        let names = || ["rootdirectory", "maxthreads", "delete"].into_iter();
        assert_eq!(nearest("root_directory", names()), Some("rootdirectory"));
        assert_eq!(nearest("RootDirectroy", names()), Some("rootdirectory"));
        assert_eq!(nearest("delte", names()), Some("delete"));
        assert_eq!(nearest("colour", names()), None);
    }
}
