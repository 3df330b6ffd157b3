//! Taking over what Distribution 2.8 wrote, in place, and giving it back.
//!
//! [`survey`] looks, [`derive`] writes what can be derived beside what is there, [`back`] proves that Distribution could
//! go on with it, and [`memory`] holds what it remembers in Redis against the store.

pub mod back;
pub mod derive;
pub mod memory;
pub mod survey;
