//! Decorators over any [`crate::Store`].

mod guard;
mod observed;

pub use guard::{Guarded, Permit};
pub use observed::{Observed, Observer};
