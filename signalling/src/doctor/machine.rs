//! Files, memory for sockets, cores, and the disk.

use std::{fs, net::SocketAddr, path::Path};

use nix::sys::resource::{Resource, getrlimit};

use super::Finding;
use crate::{Limits, process::free_space, settings::Settings, store};

/// What the media sockets ask for in each direction (`sfu/src/endpoint/sockets.rs`).
const SOCKET_BUFFER: u64 = 8 << 20;

/// With less, a day of calls may fill it.
const FREE_DISK: u64 = 1 << 30;

pub(super) fn examine(settings: &Settings) -> Vec<Finding> {
    let mut found = vec![descriptors()];
    for direction in ["rmem_max", "wmem_max"] {
        found.push(socket_buffer(direction));
    }
    found.push(offload());
    found.push(cores(settings));
    match &settings.data {
        Some(folder) => found.push(data(folder)),
        None => found.push(Finding::doubtful(
            "data folder",
            "there is none: calls end when the server does",
            "give --data",
        )),
    }
    found
}

/// Connections take one each; the server raises the soft limit by itself.
fn descriptors() -> Finding {
    let what = "open files";
    let wanted = Limits::default().connections as u64 + 256;
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((_, hard)) if hard < wanted => Finding::doubtful(
            what,
            format!("{hard} at most, and each connection takes one"),
            format!("LimitNOFILE={wanted} in the systemd unit, or ulimit -Hn"),
        ),
        Ok((_, hard)) => Finding::good(what, format!("up to {hard}")),
        Err(error) => Finding::doubtful(what, error.to_string(), "see ulimit -n"),
    }
}

fn socket_buffer(direction: &'static str) -> Finding {
    let what = "socket buffers";
    let path = format!("/proc/sys/net/core/{direction}");
    let limit = fs::read_to_string(&path).ok();
    match limit.and_then(|text| text.trim().parse::<u64>().ok()) {
        Some(limit) if limit < SOCKET_BUFFER => Finding::doubtful(
            what,
            format!("net.core.{direction} is {limit}: bursts of media may be lost"),
            format!("sysctl -w net.core.{direction}={SOCKET_BUFFER}, and in /etc/sysctl.d"),
        ),
        Some(limit) => Finding::good(what, format!("net.core.{direction} is {limit}")),
        None => Finding::doubtful(what, format!("{path} cannot be read"), "not a Linux?"),
    }
}

/// Many datagrams in one call of the system halve what sending costs.
fn offload() -> Finding {
    let what = "UDP offload";
    match conclave_sfu::offload(SocketAddr::from(([127, 0, 0, 1], 0))) {
        Ok(offload) if offload.sends > 1 && offload.receives > 1 => Finding::good(
            what,
            format!(
                "up to {} datagrams are sent, and {} received, at once",
                offload.sends, offload.receives
            ),
        ),
        Ok(_) => Finding::doubtful(
            what,
            "every datagram is sent by itself",
            "a Linux kernel from 5.0 on knows UDP_SEGMENT and UDP_GRO",
        ),
        Err(error) => Finding::doubtful(what, error.to_string(), "see the kernel's log"),
    }
}

fn cores(settings: &Settings) -> Finding {
    let what = "media threads";
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    match settings.media_threads {
        Some(threads) if usize::from(threads.get()) > cores => Finding::doubtful(
            what,
            format!("{threads} threads on {cores} cores"),
            "more threads than cores only get in each other's way: leave --media-threads out",
        ),
        Some(threads) => Finding::good(what, format!("{threads} threads on {cores} cores")),
        None => Finding::good(what, format!("one for each of {cores} cores")),
    }
}

fn data(folder: &Path) -> Finding {
    let what = "data folder";
    // As a server would take it; it is given back at once.
    if let Err(error) = store::lock(folder) {
        return Finding::bad(what, "it cannot be used", error.to_string());
    }
    let path = folder.display();
    match free_space(folder) {
        Ok(free) => {
            let left = format!("{} MB free in {path}", free / 1_000_000);
            if free < FREE_DISK {
                let remedy = "make room: a full disk keeps calls from outliving a restart";
                Finding::doubtful(what, left, remedy)
            } else {
                Finding::good(what, left)
            }
        }
        Err(error) => Finding::doubtful(what, error.to_string(), format!("see df {path}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Health;

    #[test]
    fn a_folder_that_a_server_has_is_not_offered_to_another() {
        let folder = tempfile::tempdir().unwrap();
        assert_ne!(data(folder.path()).health, Health::Bad);
        let _running = store::lock(folder.path()).unwrap();
        assert_eq!(data(folder.path()).health, Health::Bad);
    }

    #[test]
    fn more_threads_than_cores_are_doubted() {
        let settings = crate::settings::tests::settings(&["--media-threads", "255"]);
        assert_eq!(cores(&settings).health, Health::Doubtful);
    }
}
