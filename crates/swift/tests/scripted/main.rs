//! The client against a server that does what a script says: answers, delays, breaks.

mod reading;
mod retries;
mod server;
mod session;
mod writing;
