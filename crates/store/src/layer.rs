//! Decorators over any [`crate::Store`].

mod observed;

pub use observed::{Observed, Observer};
