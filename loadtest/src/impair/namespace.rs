//! Network namespaces without a name. The kernel takes one away with all that is in it
//! when nobody holds it any more, however this process ends: none can be left behind.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd as _,
    panic::resume_unwind,
    process::{Command, Stdio},
    thread,
};

use nix::{
    errno::Errno,
    sched::{CloneFlags, setns, unshare},
};

/// Why there is no namespace, or not the one that is asked for.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// The kernel does not let this process.
    #[error(
        "this process may not make network namespaces ({0}): run it as root, or use --impair, \
         which impairs in process"
    )]
    NotAllowed(Errno),
    /// The namespace cannot be opened.
    #[error("the network namespace cannot be entered: {0}")]
    Enter(io::Error),
    /// A program is not there.
    #[error("`{program}` cannot be run ({error}): install iproute2, or use --impair")]
    NoProgram {
        /// Which.
        program: String,
        /// Why.
        error: io::Error,
    },
    /// A program did not do what it was to do.
    #[error("`{command}` failed: {said}")]
    Failed {
        /// What was run.
        command: String,
        /// What it said.
        said: String,
    },
}

/// A network namespace. It lasts as long as this and the sockets made in it.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// Makes one, with its loopback interface up.
    pub fn new() -> Result<Self, NamespaceError> {
        // What a thread unshares is its own alone; the others stay where they are.
        let made = on_a_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).map_err(NamespaceError::NotAllowed)?;
            File::open("/proc/thread-self/ns/net").map_err(NamespaceError::Enter)
        });
        let namespace = Self(made?);
        namespace.command("ip link set lo up")?;
        Ok(namespace)
    }

    /// Does something inside: sockets made there belong there for good.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NamespaceError> {
        on_a_thread(|| {
            setns(&self.0, CloneFlags::CLONE_NEWNET)
                .map_err(|errno| NamespaceError::Enter(errno.into()))?;
            Ok(work())
        })
    }

    /// Runs a program inside: its words, separated by spaces.
    pub fn command(&self, line: &str) -> Result<String, NamespaceError> {
        self.within(|| command(line))?
    }

    /// A path by which other programs find it while this process runs.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

/// Runs a program where the calling thread is: its words, separated by spaces. Gives what
/// it wrote.
pub fn command(line: &str) -> Result<String, NamespaceError> {
    let mut words = line.split_whitespace();
    let program = words.next().unwrap_or_default();
    let output = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| NamespaceError::NoProgram {
            program: program.to_owned(),
            error,
        })?;
    if !output.status.success() {
        return Err(NamespaceError::Failed {
            command: line.to_owned(),
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A thread that goes to another namespace does not come back, so each errand has one of
/// its own.
fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let joined = thread::scope(|scope| scope.spawn(work).join());
    joined.unwrap_or_else(|panic| resume_unwind(panic))
}
