//! Which images are pulled most lately: what an operator wants at hand before the store goes away.
//!
//! A pull weighs one, and half as much with each day that passes. Kept in the cache's directory now and then, so that a
//! restart does not forget; a file that is torn or gone is as good as none.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::SystemTime;

use parking_lot::Mutex;
use wharfinger_oci::{Digest, Reference, RepositoryName};
use wharfinger_store::{Durability, Key, Store};

use super::DiskCache;

/// Images that are kept in mind.
const MOST: usize = 10_000;
/// Seconds after which a pull weighs half.
const HALF_LIFE: f64 = 86_400.0;
/// The largest file that is read.
const LARGEST: usize = 16 * 1024 * 1024;
const FIRST_LINE: &str = "wharfinger pulls 1 ";

type Image = (RepositoryName, Reference);

#[derive(Default)]
pub(super) struct Pulls(Mutex<Counted>);

#[derive(Default)]
struct Counted {
    images: HashMap<Image, Weight>,
    /// Whether there is something to be kept.
    changed: bool,
}

/// What the pulls of an image weighed at a moment, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Weight {
    weight: f64,
    at: f64,
}

impl Weight {
    fn now(self, now: f64) -> f64 {
        self.weight * (-(now - self.at).max(0.0) / HALF_LIFE).exp2()
    }
}

impl Counted {
    fn note(&mut self, name: &RepositoryName, reference: &Reference, now: f64) {
        let image = (name.clone(), reference.clone());
        if self.images.len() >= MOST && !self.images.contains_key(&image) {
            self.trim(now);
        }
        let found = self.images.entry(image).or_insert(Weight { weight: 0.0, at: now });
        *found = Weight { weight: found.now(now) + 1.0, at: now };
        self.changed = true;
    }

    /// Forgets the lighter half.
    fn trim(&mut self, now: f64) {
        self.images = self.sorted(now).into_iter().take(MOST / 2).collect();
    }

    fn sorted(&self, now: f64) -> Vec<(Image, Weight)> {
        let mut all: Vec<_> = self.images.iter().map(|(image, weight)| (image.clone(), *weight)).collect();
        let name = |image: &Image| (image.0.clone(), image.1.to_string());
        all.sort_by(|(a, one), (b, other)| {
            other.now(now).total_cmp(&one.now(now)).then_with(|| name(a).cmp(&name(b)))
        });
        all
    }

    /// A line for each image, below one with the digest of them all.
    fn encode(&self) -> String {
        let mut lines = String::new();
        for ((name, reference), Weight { weight, at }) in &self.images {
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "{weight} {at} {name} {reference}");
        }
        format!("{FIRST_LINE}{}\n{lines}", Digest::sha256(lines.as_bytes()))
    }

    /// None where a byte of it is not as it was written.
    fn decode(text: &str) -> Option<Counted> {
        let (digest, lines) = text.strip_prefix(FIRST_LINE)?.split_once('\n')?;
        if Digest::sha256(lines.as_bytes()).to_string() != digest {
            return None;
        }
        let images = lines.lines().map(line).collect::<Option<HashMap<_, _>>>()?;
        (images.len() <= MOST).then(|| Counted { images, ..Counted::default() })
    }
}

fn line(line: &str) -> Option<(Image, Weight)> {
    let mut words = line.split(' ');
    let mut number = || words.next()?.parse::<f64>().ok().filter(|number| number.is_finite());
    let weight = Weight { weight: number()?, at: number()? };
    let (name, reference) = (words.next()?, words.next()?);
    Some(((RepositoryName::parse(name).ok()?, Reference::parse(reference).ok()?), weight))
}

fn seconds() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn key() -> Key {
    Key::new("pulls")
}

impl DiskCache {
    /// Takes up what an earlier process kept.
    pub(super) async fn recall_pulls(&self) {
        let Ok(bytes) = self.store().get(&key(), LARGEST).await else { return };
        if let Some(counted) = std::str::from_utf8(&bytes).ok().and_then(Counted::decode) {
            *self.inner.pulls.0.lock() = counted;
        }
    }

    /// Keeps which images are pulled most for the next process, if there is something new. The file is written whole or
    /// not at all; after a crash it is an older one, or none.
    pub async fn keep_pulls(&self) {
        let text = {
            let mut counted = self.inner.pulls.0.lock();
            if !std::mem::take(&mut counted.changed) {
                return;
            }
            counted.encode()
        };
        if let Err(error) = self.store().put(&key(), text.into(), Durability::Lazy).await {
            tracing::debug!(%error, "which images are pulled most could not be kept in the cache directory");
            self.inner.pulls.0.lock().changed = true;
            self.reopen_where_gone();
        }
    }

    /// The images that were pulled most lately, at most so many; the most pulled first.
    pub fn most_pulled(&self, count: usize) -> Vec<(RepositoryName, Reference)> {
        let sorted = self.inner.pulls.0.lock().sorted(seconds());
        sorted.into_iter().take(count).map(|(image, _)| image).collect()
    }

    /// Counts a pull of an image.
    pub(crate) fn count_pull(&self, name: &RepositoryName, reference: &Reference) {
        self.inner.pulls.0.lock().note(name, reference, seconds());
    }

    /// An image that is not there any more.
    pub(super) fn forget_pulls(&self, name: &RepositoryName, reference: &Reference) {
        let mut counted = self.inner.pulls.0.lock();
        counted.changed |= counted.images.remove(&(name.clone(), reference.clone())).is_some();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: f64 = 86_400.0;

    fn image(text: &str) -> Image {
        let (name, reference) = text.split_once('@').or_else(|| text.split_once(':')).unwrap();
        (RepositoryName::parse(name).unwrap(), Reference::parse(reference).unwrap())
    }

    fn pull(counted: &mut Counted, text: &str, now: f64) {
        let (name, reference) = image(text);
        counted.note(&name, &reference, now);
    }

    fn order(counted: &Counted, now: f64) -> Vec<String> {
        let text = |((name, reference), _): (Image, Weight)| format!("{name} {reference}");
        counted.sorted(now).into_iter().map(text).collect()
    }

    #[test]
    fn what_was_pulled_lately_outweighs_what_was_pulled_often_long_ago() {
        let mut counted = Counted::default();
        (0..10).for_each(|_| pull(&mut counted, "a:old", 0.0));
        (0..3).for_each(|_| pull(&mut counted, "b:new", 2.0 * DAY));
        assert_eq!(order(&counted, 2.0 * DAY), ["b new", "a old"]);
        assert_eq!(counted.images[&image("a:old")].now(DAY), 5.0);
    }

    #[test]
    fn what_is_kept_in_mind_is_bounded_and_the_heavier_half_stays() {
        let mut counted = Counted::default();
        (0..2).for_each(|_| pull(&mut counted, "often:v1", 0.0));
        for number in 0..3 * MOST {
            pull(&mut counted, &format!("once:{number}"), 0.0);
        }
        assert!(counted.images.len() <= MOST);
        assert_eq!(order(&counted, 0.0)[0], "often v1");
    }

    #[test]
    fn what_was_kept_is_read_again_and_a_torn_file_is_none() {
        let mut counted = Counted::default();
        pull(&mut counted, "team/app:v1", 1.5 * DAY);
        pull(&mut counted, "other:v2", 2.0 * DAY);
        let text = counted.encode();
        assert_eq!(Counted::decode(&text).unwrap().images, counted.images);
        for torn in ["", "wharfinger pulls 1 ", &text[..text.len() - 1], &text.replace("v2", "v3")] {
            assert!(Counted::decode(torn).is_none(), "{torn:?}");
        }
        assert_eq!(Counted::decode(&Counted::default().encode()).unwrap().images.len(), 0);
    }
}
