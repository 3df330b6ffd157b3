//! A store looked at as a whole.
//!
//! [`census`] counts what a listing of everything shows; [`graph`] reads by name what tags and manifests reach and says
//! what is damaged. [`adopt`] stands on them: what a container of Distribution holds, what is derived from it when it is
//! taken over, and whether Distribution could take it back. [`doctor`] walks one image and asks everybody who has to do
//! with it.
//!
//! Listings find candidates, reads by name decide; nothing here deletes an object.

pub mod adopt;
pub mod census;
pub mod doctor;
pub mod finding;
pub mod graph;
mod parallel;
pub mod prove;
pub mod redis;
pub mod segments;
mod watch;

pub use finding::{Finding, Kind};
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
