//! What the kernel says of a process on this machine, in `/proc` (proc(5)).

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    time::Duration,
};

use rustix::param::clock_ticks_per_second;

/// Why nothing is known of a process.
#[derive(Debug, thiserror::Error)]
pub enum ProcessUnknown {
    /// It is not there, or not for us to see.
    #[error("/proc/{pid}/{file} cannot be read: {error}")]
    Unreadable {
        /// Which process.
        pid: u32,
        /// What was looked for.
        file: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// It does not look as it should.
    #[error("/proc/{pid}/{file} is not as expected")]
    Unexpected {
        /// Which process.
        pid: u32,
        /// What was looked for.
        file: &'static str,
    },
}

/// What a process had used up, and what it held, at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessSample {
    /// CPU time in user mode, of all its threads; the kernel tells it in ticks of 10 ms.
    pub user: Duration,
    /// CPU time in the kernel, likewise.
    pub system: Duration,
    /// Context switches of the threads that it has now, wished for or not.
    pub context_switches: u64,
    /// Resident memory.
    pub memory_bytes: u64,
    /// Open file descriptors.
    pub file_descriptors: u64,
    /// Threads.
    pub threads: u64,
}

impl ProcessSample {
    /// Of this process.
    pub fn of(pid: u32) -> Result<Self, ProcessUnknown> {
        let read = |file: &'static str| {
            fs::read_to_string(format!("/proc/{pid}/{file}"))
                .map_err(|error| ProcessUnknown::Unreadable { pid, file, error })
        };
        let list = |file: &'static str| {
            fs::read_dir(format!("/proc/{pid}/{file}"))
                .map_err(|error| ProcessUnknown::Unreadable { pid, file, error })
        };
        let unexpected = |file| ProcessUnknown::Unexpected { pid, file };
        let stat = read("stat")?;
        let (user, system) = cpu_ticks(&stat).ok_or_else(|| unexpected("stat"))?;
        let status = read("status")?;
        let kibibytes = field(&status, "VmRSS").ok_or_else(|| unexpected("status"))?;
        // A thread that ends meanwhile has no status any more.
        let context_switches = list("task")?
            .flatten()
            .filter_map(|task| fs::read_to_string(task.path().join("status")).ok())
            .map(|status| {
                let count = |name| field(&status, name).unwrap_or_default();
                count("voluntary_ctxt_switches") + count("nonvoluntary_ctxt_switches")
            })
            .sum();
        let time = |ticks: u64| {
            Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second().max(1) as f64)
        };
        Ok(Self {
            user: time(user),
            system: time(system),
            context_switches,
            memory_bytes: kibibytes * 1_024,
            file_descriptors: list("fd")?.count() as u64,
            threads: field(&status, "Threads").ok_or_else(|| unexpected("status"))?,
        })
    }

    /// CPU time, user and system.
    pub fn cpu(&self) -> Duration {
        self.user + self.system
    }
}

/// The CPU time of a process, to the nanosecond, from look to look. What a thread used
/// between the last look and its end is missed.
#[derive(Debug)]
pub struct CpuWatch {
    pid: u32,
    /// By thread, in nanoseconds.
    before: BTreeMap<OsString, u64>,
}

impl CpuWatch {
    /// Begins now; nothing is missed of threads that come later.
    pub fn new(pid: u32) -> Self {
        let mut watch = Self {
            pid,
            before: BTreeMap::new(),
        };
        watch.spent();
        watch
    }

    /// CPU time since the last look; none when the system does not tell.
    pub fn spent(&mut self) -> Option<Duration> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).ok()?;
        let now: BTreeMap<OsString, u64> = tasks
            .flatten()
            .filter_map(|task| {
                let times = fs::read_to_string(task.path().join("schedstat")).ok()?;
                let ran = times.split_whitespace().next()?.parse().ok()?;
                Some((task.file_name(), ran))
            })
            .collect();
        let since = |(thread, ran): (&OsString, &u64)| {
            ran.saturating_sub(self.before.get(thread).copied().unwrap_or_default())
        };
        let spent = now.iter().map(since).sum();
        let is_told = !now.is_empty();
        self.before = now;
        is_told.then(|| Duration::from_nanos(spent))
    }
}

/// The fields `utime` and `stime`: the 12th and 13th after the name, which may contain
/// blanks and parentheses itself.
fn cpu_ticks(stat: &str) -> Option<(u64, u64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// A number in a table of names and values.
fn field(status: &str, name: &str) -> Option<u64> {
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

/// The process on this machine that listens on a TCP port of this address. None when it is
/// not ours to see, when the address is another machine's, or when several share the
/// socket.
pub fn listener(address: IpAddr, port: u16) -> Option<u32> {
    // Only an address of one's own can be bound.
    UdpSocket::bind((address, 0)).ok()?;
    let inodes: Vec<String> = ["/proc/self/net/tcp", "/proc/self/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| listening_inodes(&table, address, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let mut owners = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let mut descriptors = fs::read_dir(entry.path().join("fd")).ok()?.flatten();
        let owns = descriptors.any(|descriptor| {
            fs::read_link(descriptor.path()).is_ok_and(|link| {
                let link = link.to_string_lossy();
                inodes.iter().any(|inode| *inode == link)
            })
        });
        owns.then_some(pid)
    });
    let owner = owners.next()?;
    owners.next().is_none().then_some(owner)
}

/// Reads the kernel's table: the second column is the local address in hexadecimal, the
/// fourth the state, the tenth the inode.
fn listening_inodes(table: &str, address: IpAddr, port: u16) -> Vec<u64> {
    const LISTEN: &str = "0A";
    let row = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (local, local_port) = columns.get(1)?.split_once(':')?;
        let local = hexadecimal_address(local)?;
        let ours = local.is_unspecified() || local == address;
        let port_matches = u16::from_str_radix(local_port, 16) == Ok(port);
        (ours && port_matches && *columns.get(3)? == LISTEN)
            .then(|| columns.get(9)?.parse().ok())
            .flatten()
    };
    table.lines().skip(1).filter_map(row).collect()
}

/// The kernel writes addresses as words in the byte order of the machine.
fn hexadecimal_address(text: &str) -> Option<IpAddr> {
    let words: Vec<[u8; 4]> = (0..text.len() / 8)
        .map(|word| {
            let word = u32::from_str_radix(text.get(word * 8..word * 8 + 8)?, 16).ok()?;
            Some(word.to_ne_bytes())
        })
        .collect::<Option<_>>()?;
    match words[..] {
        [word] => Some(Ipv4Addr::from(word).into()),
        [a, b, c, d] => {
            let bytes: [u8; 16] = [a, b, c, d].concat().try_into().ok()?;
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::{
        net::TcpListener,
        process, thread,
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn what_this_process_does_shows() {
        let before = ProcessSample::of(process::id()).unwrap();
        let held: Vec<_> = (0..50)
            .map(|_| fs::File::open("/proc/self/status").unwrap())
            .collect();
        let memory = vec![1_u8; 64 << 20];
        let mut watch = CpuWatch::new(process::id());
        let until = Instant::now() + Duration::from_millis(200);
        while Instant::now() < until {
            std::hint::black_box(&memory);
        }
        assert!(watch.spent().unwrap() >= Duration::from_millis(50));
        let slept = thread::spawn(|| {
            for _ in 0..100 {
                thread::sleep(Duration::from_millis(1));
            }
            ProcessSample::of(process::id()).unwrap()
        });
        let after = slept.join().unwrap();
        // Other tests of this process run beside it: they only add to these.
        assert!(after.file_descriptors >= 50);
        assert!(after.memory_bytes >= 64 << 20);
        assert!(after.cpu() - before.cpu() >= Duration::from_millis(50));
        assert!(after.context_switches >= before.context_switches + 100);
        assert!(after.threads >= 2);
        drop(held);
    }

    #[test]
    fn a_thread_that_ends_takes_nothing_back() {
        let mut watch = CpuWatch::new(process::id());
        watch.before.insert("ended".into(), u64::MAX);
        assert!(watch.spent().unwrap() < Duration::from_secs(60));
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        // Above the largest number of a process.
        let error = ProcessSample::of(1 << 30).unwrap_err();
        assert!(error.to_string().contains("/proc/1073741824/stat"));
    }

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "4711 (a) b (c)) S 1 4711 4711 0 -1 4194560 955 0 0 0 12 34 5 6 20 0 9 0 1";
        assert_eq!(cpu_ticks(stat), Some((12, 34)));
        assert_eq!(cpu_ticks("4711 (a) S 1"), None);
    }

    #[test]
    fn the_owner_of_a_listening_socket_is_found() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let here = Ipv4Addr::LOCALHOST.into();
        assert_eq!(listener(here, port), Some(process::id()));
        // A documentation address (RFC 5737) is not of this machine.
        let there = Ipv4Addr::new(192, 0, 2, 1).into();
        assert_eq!(listener(there, port), None);
        drop(socket);
        assert_eq!(listener(here, port), None);
    }

    #[test]
    fn only_listening_sockets_of_the_address_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3060 1
   1: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 3061 1
   2: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3062 1
   3: 0200000A:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3063 1
   4: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3064 1
";
        let found = listening_inodes(table, Ipv4Addr::LOCALHOST.into(), 8_080);
        assert_eq!(found, [3_060, 3_062]);
        let mapped = "0000000000000000FFFF00000100007F";
        let any = "00000000000000000000000000000000";
        assert_eq!(
            hexadecimal_address(mapped),
            Some(Ipv4Addr::LOCALHOST.into())
        );
        assert!(hexadecimal_address(any).unwrap().is_unspecified());
    }
}
