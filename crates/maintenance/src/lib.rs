//! A store looked at as a whole.
//!
//! [`census`] counts what a listing of everything shows; [`graph`] reads by name what tags and manifests reach and says
//! what is damaged. [`adopt`] stands on them: what a container of Distribution holds, what is derived from it when it is
//! taken over, and whether Distribution could take it back. [`fsck`] says what is damaged and whom that hurts, [`impact`]
//! who uses an object, and [`heal`] puts right what an intact copy ([`copies`]) can put right. [`scrub`] reads everything
//! again, all the time. [`doctor`] walks one image and asks everybody who has to do with it.
//!
//! Listings find candidates, reads by name decide; nothing here deletes an object.

pub mod adopt;
pub mod audit;
pub mod census;
pub mod compare;
pub mod copies;
pub mod doctor;
pub mod finding;
pub mod fsck;
pub mod graph;
pub mod heal;
pub mod impact;
pub mod instances;
mod parallel;
pub mod prove;
pub mod scrub;
pub mod segments;
pub mod used;
mod watch;

pub use finding::{Finding, Kind, Severity};
pub use prove::Pace;
pub use watch::{Unwatched, Watch};

/// How hard to work.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Storage calls that go side by side; at least 1.
    pub parallel: usize,
    /// Bytes a second that are read to be hashed; `None` for as fast as it goes.
    pub rate: Option<u64>,
}

impl Default for Effort {
    fn default() -> Self {
        Effort { parallel: 16, rate: None }
    }
}
