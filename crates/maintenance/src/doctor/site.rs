//! The store of another site, which has to have the same.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use wharfinger_store::Store;

use super::copy::{How, look};
use super::{Answer, Claim, Object, Station, Testimony, Witness};
use crate::Pace;

/// Another site.
#[derive(Clone)]
pub struct Site {
    name: String,
    store: Arc<dyn Store>,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Site({})", self.name)
    }
}

impl Site {
    /// A site by the name that the configuration gives it. Only reads are made of `store`.
    pub fn new(name: &str, store: Arc<dyn Store>) -> Site {
        Site { name: name.to_owned(), store }
    }
}

#[async_trait]
impl Witness for Site {
    fn name(&self) -> String {
        format!("site {}", self.name)
    }

    fn station(&self) -> Station {
        Station::Site
    }

    fn mend(&self, object: &Object) -> String {
        match object.digest() {
            Some(digest) => format!("wharfinger heal --digest {digest}    # at site {}", self.name),
            None => format!("wharfinger compare --with {}", self.name),
        }
    }

    async fn ask(&self, object: &Object, deep: bool) -> Testimony {
        let (pace, tell) = (Pace::new(None), |_| {});
        let copy = look(&*self.store, object, How { deep, confirm: true, pace: &pace, tell: &tell }).await;
        match copy.answer {
            Answer::Right => Testimony::Has(Claim {
                size: copy.size,
                digest: copy.target,
                hashed: object.digest().filter(|_| copy.proved),
                bytes: copy.bytes,
                note: String::new(),
            }),
            _ if copy.absent => Testimony::Lacks(copy.text),
            Answer::Wrong => Testimony::Broken(copy.text),
            Answer::Nothing | Answer::Follows => Testimony::Nothing,
            Answer::Unknown => Testimony::Silent(copy.text),
        }
    }
}
