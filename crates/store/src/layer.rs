//! Decorators over any [`crate::Store`].

mod breaker;
mod guard;
mod observed;

pub use breaker::Breaker;
pub use guard::{Guarded, Permit};
pub use observed::{Observed, Observer};
