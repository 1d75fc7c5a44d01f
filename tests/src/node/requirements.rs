//! What a machine must have before real nodes can run on it.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

/// A program or file that a node needs, and the Debian package that brings it.
struct Need {
    program: &'static str,
    package: &'static str,
}

const NEEDS: [Need; 10] = [
    Need { program: "runc", package: "runc" },
    Need { program: "bridge", package: "containernetworking-plugins" },
    Need { program: "host-local", package: "containernetworking-plugins" },
    Need { program: "nft", package: "nftables" },
    Need { program: "conntrack", package: "conntrack" },
    Need { program: "ip", package: "iproute2" },
    Need { program: "iptables", package: "iptables" },
    Need { program: "haproxy", package: "haproxy" },
    Need { program: "unshare", package: "util-linux" },
    Need { program: "mount", package: "mount" },
];

/// Folders that are searched whatever PATH says: an ordinary account's PATH leaves the second half out.
const FOLDERS: [&str; 6] = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"];
/// Where the network plug-ins are.
pub(super) const NETWORK_PLUGINS: &str = "/usr/lib/cni";

/// Says what is missing, and what to do about it.
///
/// # Errors
/// When this machine or this account cannot run real nodes.
pub fn check() -> Result<()> {
    if std::env::consts::OS != "linux" {
        bail!("real nodes need Linux (namespaces, overlayfs, nftables): run this in a Linux virtual machine");
    }
    let mut packages: Vec<&str> =
        NEEDS.iter().filter(|need| !is_there(need.program)).map(|need| need.package).collect();
    packages.dedup();
    if !packages.is_empty() {
        bail!(
            "real nodes need programs that are not installed; on Debian or Ubuntu:\n  \
             sudo apt-get install --no-install-recommends {}",
            packages.join(" ")
        );
    }
    if !rustix::process::geteuid().is_root() {
        bail!(
            "real nodes need root: they mount file systems and make network namespaces. Run it in a root shell, e.g.\n  \
             sudo --preserve-env=PATH,HOME,CARGO_HOME,RUSTUP_HOME cargo xtask e2e"
        );
    }
    Ok(())
}

fn is_there(program: &str) -> bool {
    let folders = FOLDERS.into_iter().chain([NETWORK_PLUGINS]);
    folders.map(|folder| Path::new(folder).join(program)).any(|file| fs::metadata(file).is_ok())
}
