//! Placeholder.
mod admin;
mod args;
mod client;
mod lease;
mod metrics;

fn main() {}
