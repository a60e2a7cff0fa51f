//! Bots behind one line, as a family is: a network namespace in which their sockets live,
//! and between it and this process's own network a router, whose two ends the kernel
//! impairs. What the household's line can carry, all of its bots share.
//!
//! ```text
//! this namespace            router                        household
//!   10.78.0.1 ───────── 10.78.0.2   10.78.0.129 ───────── 10.78.0.130
//!                       up ◂── qdiscs ──▸ down            10.78.0.131 (elsewhere)
//! ```
//!
//! The router is there so that the disciplines see single packets: what a server hands to
//! the kernel as one (UDP GSO) is taken apart on its way to the router, and a lost packet
//! is one packet. Nothing of this can be left behind: see [`super::namespace`].

use std::{
    fmt::{self, Display},
    fs, io,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    panic::resume_unwind,
    str::FromStr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    LinkPair, Way,
    namespace::{Namespace, NamespaceError, command},
    netem::{self, NetemError},
    spec::Blackout,
};

/// Interfaces of the router, named for where they lead.
const TO_SERVER: &str = "server";
const TO_BOTS: &str = "bots";

/// How long a line may take until something passes.
const CARRIER_PATIENCE: Duration = Duration::from_secs(5);
/// How often it is tried.
const CARRIER_BEAT: Duration = Duration::from_millis(20);

/// Why there is no household.
#[derive(Debug, thiserror::Error)]
pub enum HouseholdError {
    /// The namespaces.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// An impairment that Linux cannot do.
    #[error(transparent)]
    Netem(#[from] NetemError),
    /// A kernel without it.
    #[error(
        "this kernel has no netem, which loss, burst, delay, jitter, reorder and duplicate \
         need: load it (modprobe sch_netem), or use --impair, which impairs in process \
         (rate, queue and blackout work without it)"
    )]
    NoNetem,
    /// The kernel does not take a setting.
    #[error("the router does not forward packets: {0}")]
    Forwarding(io::Error),
    /// The sockets that try it.
    #[error("the line to the household cannot be tried: {0}")]
    Try(io::Error),
    /// Packets do not pass.
    #[error(
        "nothing passes between {server} and {home}, where the bots would be: does a firewall \
         of this machine drop it?"
    )]
    Dead {
        /// This process's end of the line.
        server: Ipv4Addr,
        /// The bots' end.
        home: Ipv4Addr,
    },
    /// Everything is in use.
    #[error(
        "no network 10.78.0.0/24 to 10.78.255.0/24 is free on this machine: give one with \
         --netns-subnet"
    )]
    NoSubnet,
}

/// Why a text is no [`Subnet`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no network for bots: give one of the form 10.78.0.0/24")]
pub struct SubnetError(String);

/// A network of 256 addresses for a household and its router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet([u8; 3]);

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        text.strip_suffix("/24")
            .and_then(|address| address.parse::<Ipv4Addr>().ok())
            .filter(Ipv4Addr::is_private)
            .and_then(|address| match address.octets() {
                [a, b, c, 0] => Some(Self([a, b, c])),
                _ => None,
            })
            .ok_or_else(|| SubnetError(text.to_owned()))
    }
}

impl Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/24", self.address(0))
    }
}

impl Subnet {
    /// One that this machine neither has nor knows a way to.
    pub fn free() -> Result<Self, HouseholdError> {
        let known = command("ip -4 route show table all")?;
        Self::not_among(&known).ok_or(HouseholdError::NoSubnet)
    }

    fn not_among(routes: &str) -> Option<Self> {
        (0..=255).map(|third| Self([10, 78, third])).find(|subnet| {
            let [a, b, c] = subnet.0;
            let prefix = format!("{a}.{b}.{c}.");
            !routes
                .split_whitespace()
                .any(|word| word.starts_with(&prefix))
        })
    }

    /// The address of this process's end of the line: where bots find the server, if it
    /// has no other address than that.
    pub fn server(self) -> Ipv4Addr {
        self.address(1)
    }

    /// Where the bots are.
    pub fn home(self) -> Ipv4Addr {
        self.address(130)
    }

    /// Where they are after they have moved within the household.
    pub fn elsewhere(self) -> Ipv4Addr {
        self.address(131)
    }

    fn address(self, last: u8) -> Ipv4Addr {
        let [a, b, c] = self.0;
        Ipv4Addr::new(a, b, c, last)
    }
}

/// Bots behind one line.
#[derive(Debug)]
pub struct Household {
    subnet: Subnet,
    path: LinkPair,
    bots: Namespace,
    router: Arc<Namespace>,
    /// This process's end of the line.
    device: String,
    blackouts: Mutex<Vec<Switching>>,
}

impl Household {
    /// Builds one, with a number that no other household of this process has.
    pub fn build(number: usize, subnet: Subnet, path: LinkPair) -> Result<Self, HouseholdError> {
        // Also refuses what cannot be done before anything is touched.
        let down = netem::disciplines(&path.down)?;
        let up = netem::disciplines(&path.up)?;
        let household = Self {
            subnet,
            path,
            bots: Namespace::new()?,
            router: Arc::new(Namespace::new()?),
            device: format!("cv{}h{number}", std::process::id()),
            blackouts: Mutex::new(Vec::new()),
        };
        household.connect()?;
        for (device, lines) in [(TO_BOTS, down), (TO_SERVER, up)] {
            for line in lines {
                household.impair(device, &line)?;
            }
        }
        Ok(household)
    }

    fn connect(&self) -> Result<(), HouseholdError> {
        let Self {
            subnet,
            bots,
            router,
            device,
            ..
        } = self;
        let [server, to_server, to_bots, home, elsewhere] =
            [1, 2, 129, 130, 131].map(|last| subnet.address(last));
        let beyond = subnet.address(128);
        let (router_path, bots_path) = (router.path(), bots.path());
        // With at most one segment a packet, the kernel takes apart what it was given as
        // one before it leaves through these ends.
        let up = "addrgenmode none gso_max_segs 1 up";

        command(&format!(
            "ip link add {device} type veth peer name {TO_SERVER} netns {router_path}"
        ))?;
        command(&format!("ip address add {server}/30 dev {device}"))?;
        command(&format!("ip link set {device} {up}"))?;
        router.command(&format!(
            "ip link add {TO_BOTS} type veth peer name home netns {bots_path}"
        ))?;
        for line in [
            format!("ip address add {to_server}/30 dev {TO_SERVER}"),
            format!("ip address add {to_bots}/25 dev {TO_BOTS}"),
            format!("ip link set {TO_SERVER} {up}"),
            format!("ip link set {TO_BOTS} {up}"),
            format!("ip route add default via {server}"),
        ] {
            router.command(&line)?;
        }
        for line in [
            format!("ip address add {home}/25 dev home"),
            format!("ip address add {elsewhere}/25 dev home"),
            format!("ip link set home {up}"),
            format!("ip route add default via {to_bots}"),
        ] {
            bots.command(&line)?;
        }
        router
            .within(|| fs::write("/proc/sys/net/ipv4/ip_forward", "1"))?
            .map_err(HouseholdError::Forwarding)?;
        command(&format!("ip route add {beyond}/25 via {to_server}"))?;
        self.await_carrier()
    }

    /// Waits until packets pass both ways: for a moment after an interface is up the
    /// kernel drops what it is given.
    fn await_carrier(&self) -> Result<(), HouseholdError> {
        let (server, home) = (self.subnet.server(), self.subnet.home());
        let here = UdpSocket::bind((server, 0)).map_err(HouseholdError::Try)?;
        let there = self.bots.within(|| UdpSocket::bind((home, 0)))?;
        let there = there.map_err(HouseholdError::Try)?;
        let begun = Instant::now();
        for (from, to) in [(&here, &there), (&there, &here)] {
            to.set_read_timeout(Some(CARRIER_BEAT))
                .map_err(HouseholdError::Try)?;
            let address = to.local_addr().map_err(HouseholdError::Try)?;
            while from.send_to(b"?", address).is_err() || to.recv(&mut [0]).is_err() {
                if begun.elapsed() > CARRIER_PATIENCE {
                    return Err(HouseholdError::Dead { server, home });
                }
            }
        }
        Ok(())
    }

    fn impair(&self, device: &str, line: &str) -> Result<(), HouseholdError> {
        let added = self
            .router
            .command(&format!("tc qdisc add dev {device} {line}"));
        match added {
            Err(NamespaceError::Failed { said, .. })
                if line.contains(" netem ") && said.contains("kind is unknown") =>
            {
                Err(HouseholdError::NoNetem)
            }
            added => Ok(added.map(drop)?),
        }
    }

    /// Its network.
    pub fn subnet(&self) -> Subnet {
        self.subnet
    }

    /// The other one of the two addresses that a bot can have.
    pub fn elsewhere(&self, from: IpAddr) -> IpAddr {
        let (home, elsewhere) = (self.subnet.home(), self.subnet.elsewhere());
        IpAddr::V4(if from == elsewhere { home } else { elsewhere })
    }

    /// What is wrong with its line.
    pub fn path(&self) -> LinkPair {
        self.path
    }

    /// Does something where the bots are: sockets made there belong there for good.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NamespaceError> {
        self.bots.within(work)
    }

    /// Packets that came from the server to the router so far.
    pub fn router_packets(&self) -> Result<u64, NamespaceError> {
        let table = self
            .router
            .within(|| fs::read_to_string("/proc/thread-self/net/dev"))?;
        let received = table.unwrap_or_default().lines().find_map(|line| {
            let (name, counts) = line.split_once(':')?;
            let packets = counts.split_whitespace().nth(1)?;
            packets.parse().ok().filter(|_| name.trim() == TO_SERVER)
        });
        Ok(received.unwrap_or_default())
    }

    /// The measured window began at this moment: blackouts count from there.
    pub fn begin_window(&self, window: Instant) {
        let mut blackouts = self.blackouts();
        for (way, impairment) in [(Way::Up, self.path.up), (Way::Down, self.path.down)] {
            if let Some(blackout) = impairment.blackout {
                let router = self.router.clone();
                blackouts.push(Switching::start(router, way, blackout, window));
            }
        }
    }

    /// Ends the blackouts; says so if one could not be made.
    pub fn end(&self) -> Result<(), NamespaceError> {
        self.blackouts().drain(..).try_for_each(Switching::end)
    }

    fn blackouts(&self) -> MutexGuard<'_, Vec<Switching>> {
        self.blackouts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Household {
    fn drop(&mut self) {
        // The threads hold the router. Then this end goes at once; the kernel would take
        // it away with the router's, a little later.
        let _ = self.end();
        let _ = command(&format!("ip link delete {}", self.device));
    }
}

/// A thread that lets nothing pass at certain times.
#[derive(Debug)]
struct Switching {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Result<(), NamespaceError>>,
}

impl Switching {
    fn start(router: Arc<Namespace>, way: Way, blackout: Blackout, window: Instant) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut elapsed = window.elapsed();
            let mut dark = false;
            loop {
                if blackout.covers(elapsed) != dark {
                    dark = !dark;
                    switch(&router, way, dark)?;
                }
                let Some(next) = blackout.next_change(elapsed) else {
                    return Ok(());
                };
                let wait = next.saturating_sub(window.elapsed());
                if !matches!(stopped.recv_timeout(wait), Err(RecvTimeoutError::Timeout)) {
                    return Ok(());
                }
                elapsed = next;
            }
        });
        Self { stop, thread }
    }

    fn end(self) -> Result<(), NamespaceError> {
        drop(self.stop);
        self.thread
            .join()
            .unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// Lets the router drop what comes in on one side, or stop doing so.
fn switch(router: &Namespace, way: Way, dark: bool) -> Result<(), NamespaceError> {
    let device = match way {
        Way::Up => TO_BOTS,
        Way::Down => TO_SERVER,
    };
    let verb = if dark { "add" } else { "delete" };
    router
        .command(&format!(
            "ip rule {verb} priority 1 iif {device} type blackhole"
        ))
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_is_one_of_256_private_addresses() {
        let subnet: Subnet = "10.78.3.0/24".parse().unwrap();
        assert_eq!(subnet.to_string(), "10.78.3.0/24");
        assert_eq!(subnet.server(), Ipv4Addr::new(10, 78, 3, 1));
        for text in [
            "",
            "10.78.3.0",
            "10.78.3.1/24",
            "10.78.0.0/16",
            "8.8.8.0/24",
        ] {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_free_subnet_is_one_that_no_route_names() {
        let routes = "default via 10.77.0.2 dev eth0\n\
                      10.78.0.0/30 dev cv7h0 proto kernel scope link src 10.78.0.1\n\
                      local 10.78.1.1 dev eth1 table local";
        assert_eq!(Subnet::not_among(routes), Some(Subnet([10, 78, 2])));
        let all: String = (0..=255)
            .map(|third| format!("10.78.{third}.0/24\n"))
            .collect();
        assert_eq!(Subnet::not_among(&all), None);
    }
}
