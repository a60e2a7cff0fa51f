//! What a process on this machine has used, as the kernel tells in `/proc` (proc(5)): the
//! cost of any server that runs beside the load test, whatever it says of itself.

use std::{collections::BTreeMap, ffi::OsString, fs, io, path::PathBuf, time::Duration};

use rustix::param::{clock_ticks_per_second, page_size};

/// Why the use of a process is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProcessError {
    /// There is no such process.
    #[error(
        "no process {0} on this machine: give the number of the server's, by the process namespace of the load test"
    )]
    Gone(u32),
    /// The kernel does not tell.
    #[error("{path} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The kernel tells something else than it is known to.
    #[error("{0} is not as proc(5) has it")]
    Strange(PathBuf),
}

/// What processes have used by one moment, and what they hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessUse {
    /// CPU time in their own code, of all threads, also of those that have ended.
    pub user: Duration,
    /// CPU time in the kernel.
    pub system: Duration,
    /// Memory in RAM, shared pages included.
    pub resident_bytes: u64,
    /// Threads.
    pub threads: u64,
    /// Open files and sockets; none when the processes are another user's.
    pub files: Option<u64>,
    /// How often their threads that live gave up a core or had to.
    pub context_switches: u64,
}

impl ProcessUse {
    /// Reads the use of processes, added up: a server may have several.
    ///
    /// # Errors
    ///
    /// Fails when one of them is gone, or where there is no `/proc`.
    pub fn of(processes: &[u32]) -> Result<Self, ProcessError> {
        let mut sum = Self {
            files: Some(0),
            ..Self::default()
        };
        for process in processes {
            let one = Self::of_one(*process)?;
            sum.user += one.user;
            sum.system += one.system;
            sum.resident_bytes += one.resident_bytes;
            sum.threads += one.threads;
            sum.files = sum.files.zip(one.files).map(|(a, b)| a + b);
            sum.context_switches += one.context_switches;
        }
        Ok(sum)
    }

    fn of_one(process: u32) -> Result<Self, ProcessError> {
        let folder = PathBuf::from(format!("/proc/{process}"));
        let path = folder.join("stat");
        let text = read(process, path.clone())?;
        let mut found = Self::parse(&text).ok_or(ProcessError::Strange(path))?;
        found.files = fs::read_dir(folder.join("fd"))
            .ok()
            .map(|files| files.count() as u64);
        let tasks = folder.join("task");
        let threads = fs::read_dir(&tasks).map_err(|error| unreadable(process, tasks, &error))?;
        // One that ends meanwhile is not counted.
        found.context_switches = threads
            .flatten()
            .filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok())
            .map(|status| switches(&status))
            .sum();
        Ok(found)
    }

    /// Reads the line of `/proc/PID/stat`. Its second field is a name in parentheses, which
    /// may hold anything.
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // By their numbers in proc(5), of which the first after the name is 3.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let ticks =
            |ticks: u64| Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64);
        Some(Self {
            user: ticks(field(14)?),
            system: ticks(field(15)?),
            threads: field(20)?,
            resident_bytes: field(24)? * page_size() as u64,
            files: None,
            context_switches: 0,
        })
    }

    /// CPU time, in their own code and in the kernel.
    pub fn cpu(&self) -> Duration {
        self.user + self.system
    }
}

/// The CPU time of processes, to the nanosecond, from look to look. What a thread used
/// between the last look and its end is missed.
#[derive(Debug)]
pub struct CpuWatch {
    processes: Vec<u32>,
    /// By thread, in nanoseconds.
    before: BTreeMap<OsString, u64>,
}

impl CpuWatch {
    /// Begins now; nothing is missed of threads that come later.
    pub fn new(processes: Vec<u32>) -> Self {
        let mut watch = Self {
            processes,
            before: BTreeMap::new(),
        };
        watch.spent();
        watch
    }

    /// CPU time since the last look; none when the system does not tell.
    pub fn spent(&mut self) -> Option<Duration> {
        let threads = |process| fs::read_dir(format!("/proc/{process}/task"));
        let tasks = self.processes.iter().flat_map(threads).flatten();
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

fn read(process: u32, path: PathBuf) -> Result<String, ProcessError> {
    fs::read_to_string(&path).map_err(|error| unreadable(process, path, &error))
}

fn unreadable(process: u32, path: PathBuf, error: &io::Error) -> ProcessError {
    if error.kind() == io::ErrorKind::NotFound && PathBuf::from("/proc/self").exists() {
        return ProcessError::Gone(process);
    }
    let reason = error.to_string();
    ProcessError::Unreadable { path, reason }
}

/// Adds up both kinds of context switches in `/proc/PID/task/TID/status`.
fn switches(status: &str) -> u64 {
    status
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.ends_with("voluntary_ctxt_switches"))
        .filter_map(|(_, count)| count.trim().parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;
    use crate::measure::generator::cpu_time;

    #[test]
    fn this_process_is_seen_to_work() {
        let before = ProcessUse::of(&[process::id()]).unwrap();
        let mut watch = CpuWatch::new(vec![process::id()]);
        let begin = cpu_time();
        let mut sum = 0_u64;
        // However busy the machine is with other things.
        while cpu_time() - begin < Duration::from_millis(200) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let after = ProcessUse::of(&[process::id()]).unwrap();
        let used = after.cpu() - before.cpu();
        let most = cpu_time() - begin;
        // The two clocks of the kernel differ by ticks of 10 ms.
        let expected = Duration::from_millis(170)..=most + Duration::from_millis(30);
        assert!(expected.contains(&used), "{used:?} is not in {expected:?}");
        // Other tests' threads may have ended, and their time with them.
        let watched = watch.spent().unwrap();
        let expected = Duration::from_millis(20)..=*expected.end();
        assert!(
            expected.contains(&watched),
            "{watched:?} is not in {expected:?}"
        );
        assert!(after.resident_bytes > 1 << 20, "{after:?}");
        assert!(after.threads >= 1 && after.files > Some(2), "{after:?}");
        assert!(after.context_switches > 0, "{after:?}");
    }

    #[test]
    fn a_thread_that_ends_takes_nothing_back() {
        let mut watch = CpuWatch::new(vec![process::id()]);
        watch.before.insert("ended".into(), u64::MAX);
        assert!(watch.spent().unwrap() < Duration::from_secs(60));
        let mut nobody = CpuWatch::new(vec![u32::MAX]);
        assert_eq!(nobody.spent(), None);
    }

    #[test]
    fn several_processes_are_added_up() {
        let one = ProcessUse::of(&[process::id()]).unwrap();
        let twice = ProcessUse::of(&[process::id(), process::id()]).unwrap();
        assert!(twice.resident_bytes > one.resident_bytes * 3 / 2);
        assert!(twice.cpu() >= one.cpu() * 2);
    }

    #[test]
    fn a_name_cannot_lead_astray() {
        let line = "7 (a) b (c) R) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 9 9 20 0 4 0 12345 9000000 321 1844 1 1";
        let found = ProcessUse::parse(line).unwrap();
        let tick = Duration::from_secs(1) / clock_ticks_per_second() as u32;
        assert_eq!((found.user, found.system), (250 * tick, 50 * tick));
        assert_eq!(
            (found.threads, found.resident_bytes),
            (4, 321 * page_size() as u64)
        );
        for line in [
            "",
            "7 (a",
            "7 (a) S 1 7",
            "7 (a) S 1 7 7 0 -1 0 0 0 0 0 x y 0 0 0 0 4 0 1 1 1",
        ] {
            assert_eq!(ProcessUse::parse(line), None, "{line}");
        }
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let gone = ProcessUse::of(&[process::id(), u32::MAX]);
        assert_eq!(gone, Err(ProcessError::Gone(u32::MAX)));
    }

    #[test]
    fn both_kinds_of_switches_count() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t15\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(switches(status), 18);
    }
}
