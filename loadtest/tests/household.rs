//! Households that the kernel impairs, with real sockets. Everything happens in network
//! namespaces that the tests make: one of them stands for the machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]
#![cfg(target_os = "linux")]

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use conclave_loadtest::impair::{
    LinkPair,
    household::{Household, HouseholdError, Subnet},
    namespace::{Namespace, NamespaceError, command},
};
use quinn_udp::{Transmit, UdpSocketState};

/// Does something on a machine of its own; not at all where that is not allowed.
fn on_a_machine(work: impl FnOnce() + Send) {
    match Namespace::new() {
        Ok(machine) => machine.within(work).unwrap(),
        Err(NamespaceError::NotAllowed(errno)) => {
            eprintln!("skipped: no network namespaces for this user ({errno})");
        }
        Err(error) => panic!("{error}"),
    }
}

fn path(up: &str, down: &str) -> LinkPair {
    LinkPair {
        up: up.parse().unwrap(),
        down: down.parse().unwrap(),
    }
}

fn build(path: LinkPair) -> Result<Household, HouseholdError> {
    Household::build(0, Subnet::free()?, path)
}

/// A socket on either side, which do not wait for long.
struct Line {
    server: UdpSocket,
    bot: UdpSocket,
}

impl Line {
    fn of(household: &Household) -> Self {
        let subnet = household.subnet();
        let server = UdpSocket::bind((subnet.server(), 0)).unwrap();
        let bot = household.within(|| UdpSocket::bind((subnet.home(), 0)));
        let bot = bot.unwrap().unwrap();
        for socket in [&server, &bot] {
            let patience = Some(Duration::from_millis(300));
            socket.set_read_timeout(patience).unwrap();
        }
        Self { server, bot }
    }

    fn bot_address(&self) -> SocketAddr {
        self.bot.local_addr().unwrap()
    }

    fn server_address(&self) -> SocketAddr {
        self.server.local_addr().unwrap()
    }

    /// Sends to the server and back; how long it took, or none if it did not come.
    fn ping(&self) -> Option<Duration> {
        let sent = Instant::now();
        self.bot.send_to(b"ping", self.server_address()).unwrap();
        receive(&self.server)?;
        self.server.send_to(b"pong", self.bot_address()).unwrap();
        receive(&self.bot)?;
        Some(sent.elapsed())
    }
}

fn receive(socket: &UdpSocket) -> Option<usize> {
    let mut buffer = [0; 2_048];
    match socket.recv_from(&mut buffer) {
        Ok((len, _)) => Some(len),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error}"),
    }
}

fn devices() -> usize {
    command("ip -o link show").unwrap().lines().count()
}

#[test]
fn bots_reach_the_server_and_nothing_is_left_of_them() {
    on_a_machine(|| {
        let household = build(LinkPair::default()).unwrap();
        let subnet = household.subnet();
        assert_eq!(subnet.to_string(), "10.78.0.0/24");
        assert_eq!(devices(), 2);
        let line = Line::of(&household);
        for _ in 0..20 {
            let time = line.ping().expect("a clean line loses nothing");
            assert!(time < Duration::from_millis(100), "{time:?}");
        }
        // Another household beside it has another network and is reached as well.
        assert_eq!(Subnet::free().unwrap().to_string(), "10.78.1.0/24");
        let beside = Household::build(1, Subnet::free().unwrap(), LinkPair::default()).unwrap();
        assert!(Line::of(&beside).ping().is_some());
        let from = household.within(|| UdpSocket::bind((subnet.elsewhere(), 0)));
        let from = from.unwrap().unwrap();
        from.send_to(b"moved", line.server_address()).unwrap();
        assert_eq!(receive(&line.server), Some(5));

        drop(beside);
        household.end().unwrap();
        drop(household);
        assert_eq!(devices(), 1, "only the loopback interface is left");
        assert!(line.bot.send_to(b"ping", line.server_address()).is_err() || line.ping().is_none());
    });
}

#[test]
fn what_the_server_hands_over_as_one_reaches_the_router_as_many() {
    on_a_machine(|| {
        let household = build(LinkPair::default()).unwrap();
        let line = Line::of(&household);
        let sender = UdpSocketState::new((&line.server).into()).unwrap();
        assert!(sender.max_gso_segments() >= 20, "the kernel has no GSO");
        let as_one = Transmit {
            destination: line.bot_address(),
            ecn: None,
            contents: &[7; 20_000],
            segment_size: Some(1_000),
            src_ip: None,
        };
        sender.try_send((&line.server).into(), &as_one).unwrap();
        // The interface of the router counts what the server's end gave it.
        let counted = household.router_packets().unwrap();
        assert!((20..30).contains(&counted), "{counted} packets");
        let sizes: Vec<_> = std::iter::from_fn(|| receive(&line.bot)).collect();
        assert_eq!(sizes, [1_000; 20]);
    });
}

#[test]
fn a_bottleneck_lets_its_rate_pass_and_drops_what_would_wait_too_long() {
    on_a_machine(|| {
        let household = build(path("none", "rate=1mbit,queue=100ms")).unwrap();
        let line = Line::of(&household);
        let begun = Instant::now();
        thread::scope(|scope| {
            // Four times what passes, for a second: 500 packets of 1,042 bytes in frames.
            scope.spawn(|| {
                for _ in 0..500 {
                    line.server
                        .send_to(&[0; 1_000], line.bot_address())
                        .unwrap();
                    thread::sleep(Duration::from_millis(2));
                }
            });
            let mut arrived = Vec::new();
            while receive(&line.bot).is_some() {
                arrived.push(begun.elapsed().as_secs_f64());
            }
            let half = arrived.len() / 2;
            let bits = (arrived.len() - half - 1) as f64 * 1_042.0 * 8.0;
            let rate = bits / (arrived[arrived.len() - 1] - arrived[half]);
            assert!((0.95e6..1.05e6).contains(&rate), "{rate} bit/s");
            assert!(arrived.len() < 200, "{} arrived", arrived.len());
        });
        // The other direction is free. (More would not fit into the socket's buffer.)
        for _ in 0..50 {
            line.bot
                .send_to(&[0; 1_000], line.server_address())
                .unwrap();
        }
        let begun = Instant::now();
        let arrived = (0..50).filter_map(|_| receive(&line.server)).count();
        assert_eq!(arrived, 50);
        assert!(begun.elapsed() < Duration::from_millis(200));
        household.end().unwrap();
    });
}

#[test]
fn in_a_blackout_nothing_passes_that_way() {
    on_a_machine(|| {
        let household = build(path("blackout=300ms@200ms", "none")).unwrap();
        let line = Line::of(&household);
        let window = Instant::now();
        household.begin_window(window);
        let mut lost = Vec::new();
        for number in 0..70_u64 {
            let at = Duration::from_millis(number * 10);
            thread::sleep(at.saturating_sub(window.elapsed()));
            line.bot
                .send_to(&[number as u8], line.server_address())
                .unwrap();
            line.server
                .send_to(&[number as u8], line.bot_address())
                .unwrap();
        }
        let came = |socket: &UdpSocket| {
            let mut buffer = [0; 8];
            let one = || socket.recv_from(&mut buffer).ok().map(|_| buffer[0]);
            std::iter::from_fn(one).collect::<Vec<_>>()
        };
        let up = came(&line.server);
        lost.extend((0..70).filter(|number| !up.contains(number)));
        // It takes a moment to switch, longer on a busy machine.
        assert!(lost.len().abs_diff(30) <= 10, "{lost:?}");
        assert!(lost[0].abs_diff(20) <= 10, "{lost:?}");
        assert!(
            lost.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "{lost:?}"
        );
        assert_eq!(came(&line.bot).len(), 70, "the way down is not concerned");
        household.end().unwrap();
    });
}

#[test]
fn netem_delays_and_loses_or_its_absence_is_said() {
    on_a_machine(|| {
        let there = command("tc qdisc add dev lo root netem delay 1ms").is_ok();
        let built = build(path("none", "delay=50ms,loss=20%"));
        if !there {
            let refused = built.unwrap_err();
            assert!(matches!(refused, HouseholdError::NoNetem), "{refused}");
            assert!(refused.to_string().contains("--impair"), "{refused}");
            assert_eq!(devices(), 1, "what was begun is taken away");
            return;
        }
        let household = built.unwrap();
        let line = Line::of(&household);
        let times: Vec<_> = (0..200).filter_map(|_| line.ping()).collect();
        // 160 are expected to come back; the standard deviation is 5.7.
        assert!((137..=183).contains(&times.len()), "{}", times.len());
        let median = {
            let mut times = times.clone();
            times.sort();
            times[times.len() / 2]
        };
        assert!(
            median.abs_diff(Duration::from_millis(50)) < Duration::from_millis(5),
            "{median:?}"
        );
        household.end().unwrap();
    });
}

#[test]
fn no_network_is_taken_that_is_there_already() {
    on_a_machine(|| {
        command("ip address add 10.78.0.7/24 dev lo").unwrap();
        let free = Subnet::free().unwrap();
        assert_eq!(free.server(), Ipv4Addr::new(10, 78, 1, 1));
    });
}
