//! End-to-end tests of the `wharfinger` program, one file per behaviour in `tests/`.
//!
//! Each test starts a server of its own on a loopback port and judges its log at the end. Tests that need more than
//! cargo stand behind the feature `full`.
