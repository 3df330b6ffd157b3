//! The operator's commands.

pub(crate) mod adopt;
pub(crate) mod cache;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod generate;
pub(crate) mod log_level;
pub(crate) mod status;
pub(crate) mod uploads;
