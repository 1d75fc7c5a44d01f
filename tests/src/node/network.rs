//! Addresses and routes in the network namespace of real nodes. Nothing outside of it is ever addressed.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, Result};

use super::place::run;

/// Every node has a number, from 1 on, and its addresses follow from it.
pub(super) fn node_address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 97, number, 1)
}

/// The addresses of a node's pods.
pub(super) fn pod_subnet(number: u8) -> String {
    format!("10.244.{number}.0/24")
}

/// The bridge of a node's pods.
pub(super) fn bridge(number: u8) -> String {
    format!("cafe{number}")
}

/// Makes the namespace a host: loopback with the nodes' addresses, forwarding between their subnets, and a route for the
/// service range, without which the kernel drops a packet before kube-proxy's rules see it.
pub(super) fn prepare(nodes: impl Iterator<Item = u8>) -> Result<()> {
    ip(&["link", "set", "lo", "up"])?;
    for number in nodes {
        ip(&["address", "add", &format!("{}/32", node_address(number)), "dev", "lo"])?;
    }
    ip(&["route", "add", "10.96.0.0/16", "dev", "lo"])?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("cannot switch on IP forwarding")
}

fn ip(args: &[&str]) -> Result<()> {
    run(Command::new("ip").args(args)).map(drop)
}
