//! The operator's commands.

pub(crate) mod adopt;
pub(crate) mod audit;
pub(crate) mod cache;
pub(crate) mod compare;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod fsck;
pub(crate) mod generate;
pub(crate) mod heal;
pub(crate) mod impact;
pub(crate) mod log_level;
pub(crate) mod sources;
pub(crate) mod status;
pub(crate) mod uploads;
