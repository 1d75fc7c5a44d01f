//! Free ports for a new bed.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// Below the range that Linux and macOS hand out for outgoing connections, so that a port stays free while its
/// component is down.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// The ports of one bed, all on the loopback address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ports {
    pub(super) etcd: u16,
    pub(super) etcd_peer: u16,
    pub(super) apiserver: u16,
    pub(super) controller_manager: u16,
    pub(super) scheduler: u16,
    pub(super) kwok: u16,
    pub(super) controller: u16,
}

/// Listeners that keep the ports of a bed from others until its components take them.
#[derive(Debug)]
pub(super) struct Reservation {
    _listeners: Vec<TcpListener>,
}

/// Finds seven free ports. They are held until the reservation is dropped.
pub(super) fn reserve() -> Result<(Ports, Reservation)> {
    let mut free = FreePorts::default();
    let ports = Ports {
        etcd: free.take()?,
        etcd_peer: free.take()?,
        apiserver: free.take()?,
        controller_manager: free.take()?,
        scheduler: free.take()?,
        kwok: free.take()?,
        controller: free.take()?,
    };
    Ok((ports, Reservation { _listeners: free.listeners }))
}

#[derive(Default)]
struct FreePorts {
    listeners: Vec<TcpListener>,
}

impl FreePorts {
    fn take(&mut self) -> Result<u16> {
        for attempt in 0..COUNT {
            let port = FIRST + random(attempt) % COUNT;
            if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                self.listeners.push(listener);
                return Ok(port);
            }
        }
        bail!("no free port between {FIRST} and {}: stop other beds with `cargo xtask down`", FIRST + COUNT)
    }
}

/// Every `RandomState` has keys of its own, so that beds that start together look in different places.
fn random(attempt: u16) -> u16 {
    (RandomState::new().hash_one(attempt) % u64::from(u16::MAX)) as u16
}
