//! How many system calls the server makes: counted by the kernel, asked through perf(1).

use std::{
    io::{self, BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
};

use rustix::process::{Pid, Signal, kill_process};

const EVENT: &str = "raw_syscalls:sys_enter";
const INTERVAL_MS: &str = "500";

/// Why they are not counted.
#[derive(Debug, thiserror::Error)]
pub enum SyscallsUnknown {
    /// No perf.
    #[error("perf does not run: {0}; install linux-perf")]
    NoPerf(io::Error),
    /// perf had nothing to tell.
    #[error("perf counts no system calls here: {0}")]
    Refused(String),
    /// It ended in an unforeseen way.
    #[error("perf cannot be ended")]
    Stuck,
}

/// Counts the system calls of processes, threads that they make meanwhile included. The
/// kernel goes a longer way into each call while this is so.
#[derive(Debug)]
pub struct SyscallCount {
    perf: Child,
    reader: JoinHandle<Counted>,
}

/// What perf said so far.
#[derive(Debug, Default)]
struct Counted {
    calls: u64,
    seconds: f64,
    /// The last line that was no count.
    complaint: String,
}

impl SyscallCount {
    /// Begins to count.
    pub fn begin(processes: &[u32]) -> Result<Self, SyscallsUnknown> {
        let processes: Vec<String> = processes.iter().map(u32::to_string).collect();
        let mut perf = Command::new("perf")
            .args(["stat", "-x", ",", "-I", INTERVAL_MS, "-e", EVENT, "-p"])
            .arg(processes.join(","))
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(SyscallsUnknown::NoPerf)?;
        let said = perf.stderr.take().ok_or(SyscallsUnknown::Stuck)?;
        let reader = thread::spawn(move || {
            let mut counted = Counted::default();
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                counted.hear(&line);
            }
            counted
        });
        Ok(Self { perf, reader })
    }

    /// Ends it; gives the calls in a second.
    pub fn end(mut self) -> Result<f64, SyscallsUnknown> {
        let pid = i32::try_from(self.perf.id())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or(SyscallsUnknown::Stuck)?;
        // It may have ended by itself: what it said tells why.
        let _ = kill_process(pid, Signal::INT);
        self.perf.wait().map_err(|_| SyscallsUnknown::Stuck)?;
        let counted = self.reader.join().map_err(|_| SyscallsUnknown::Stuck)?;
        counted.per_second().ok_or_else(|| {
            let said = match counted.complaint.as_str() {
                "" => "it said nothing",
                complaint => complaint,
            };
            SyscallsUnknown::Refused(said.to_owned())
        })
    }
}

impl Counted {
    /// A line such as `1.000981203,1234,,raw_syscalls:sys_enter,0,100.00,,`: seconds since
    /// perf began, and the count of the interval that ended then.
    fn hear(&mut self, line: &str) {
        let mut columns = line.split(',').map(str::trim);
        let time = columns.next().and_then(|time| time.parse::<f64>().ok());
        let calls = columns.next().map(|count| match count {
            // The process did nothing at all.
            "<not counted>" => Some(0),
            count => count.parse::<u64>().ok(),
        });
        match (time, calls) {
            (Some(time), Some(Some(calls))) if time >= self.seconds => {
                self.calls += calls;
                self.seconds = time;
            }
            _ if line.trim().is_empty() => {}
            _ => line.trim().clone_into(&mut self.complaint),
        }
    }

    fn per_second(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.calls as f64 / self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(lines: &[&str]) -> Counted {
        let mut counted = Counted::default();
        for line in lines {
            counted.hear(line);
        }
        counted
    }

    #[test]
    fn intervals_are_added_up() {
        let counted = heard(&[
            "     0.500100000,<not counted>,,raw_syscalls:sys_enter,0,100.00,,",
            "     1.000200000,300,,raw_syscalls:sys_enter,1000,100.00,,",
            "     1.250000000,200,,raw_syscalls:sys_enter,1000,100.00,,",
        ]);
        assert_eq!(counted.per_second(), Some(400.0));
    }

    #[test]
    fn a_complaint_is_kept() {
        let counted = heard(&[
            "event syntax error: 'raw_syscalls:sys_enter'",
            "Error: No permission to enable the event.",
            "",
        ]);
        assert_eq!(counted.per_second(), None);
        assert!(counted.complaint.contains("No permission"));
        let counted = heard(&["0.5,<not supported>,,raw_syscalls:sys_enter,0,100.00,,"]);
        assert_eq!(counted.per_second(), None);
        assert!(counted.complaint.contains("not supported"));
    }
}
