//! Whether a running server serves this very client, asked from outside as browsers ask.
//!
//! A page cannot vouch for itself: who serves another page serves another voucher. So somebody
//! else asks, on another machine, with a copy of this program that they trust. What they learn
//! is what the server sends *them, now*.

mod finding;
mod headers;
mod list;
mod visit;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use hyper::http::Uri;

pub use self::list::{ClientHash, NoHash};
use self::{
    finding::{Findings, Trouble},
    list::FileList,
    visit::{Answer, Visitor, Wanted},
};
use crate::page;

/// The client that a server is held to.
#[derive(Debug, Clone)]
pub enum Expected {
    /// The one in this program.
    Ours,
    /// One that was built into a folder.
    Folder(PathBuf),
    /// The one that has this hash.
    Hash(ClientHash),
}

/// Why nothing could be found out.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The address is none.
    #[error(
        "{0:?} is not the address of a server: give one without a path, such as \
         https://call.example.org"
    )]
    Address(String),
    /// This program has no client.
    #[error(
        "this program was built without the web client and has nothing to compare with: run make \
         web and build it again, or name a client with --dist or --hash"
    )]
    NoClient,
    /// The folder has no client, or a damaged one.
    #[error("there is no built client in {folder}: {why}. Build one with make web")]
    Folder {
        /// Which folder.
        folder: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The certificates could not be read.
    #[error("cannot read certificates from {file} (--ca): {why}")]
    Certificates {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The server did not answer.
    #[error("{address} could not be asked: {why}")]
    Unreachable {
        /// Whom.
        address: String,
        /// What went wrong.
        why: String,
    },
    /// The system gave no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// What was found.
#[derive(Debug)]
pub struct Report {
    server: String,
    expected: ClientHash,
    /// What the server's own list hashes to, if it has one.
    listed: Option<ClientHash>,
    files: usize,
    findings: Findings,
}

impl Report {
    /// True when the server sent this very client, with these very headers, in every answer.
    pub fn is_genuine(&self) -> bool {
        self.findings.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            server,
            expected,
            listed,
            files,
            findings,
        } = self;
        if self.is_genuine() {
            let ways = Visitor::ALL.len();
            writeln!(f, "{server} serves the client that is expected.")?;
            writeln!(f, "  client   {expected}")?;
            writeln!(
                f,
                "  checked  {files} files and the headers, asked for in {ways} ways"
            )?;
            return write!(
                f,
                "It did so now, for this machine; ask again from elsewhere."
            );
        }
        writeln!(f, "{server} does NOT serve the client that is expected.")?;
        writeln!(f, "  expected {expected}")?;
        match listed {
            Some(listed) => writeln!(f, "  it lists {listed}")?,
            None => writeln!(f, "  it lists nothing")?,
        }
        write!(f, "{findings}")
    }
}

/// Asks the server at `address` for its page and for every file of the client, in the ways in
/// which browsers ask, and holds what comes to what is expected. `authority` is a file of
/// certificates to trust instead of the public ones.
pub fn verify(
    address: &str,
    expected: &Expected,
    authority: Option<&Path>,
) -> Result<Report, VerifyError> {
    let server = server(address)?;
    let browsers = Browsers {
        agent: visit::agent(authority)?,
        protected: headers::of(server.authority()),
        server: server.to_string().trim_end_matches('/').to_owned(),
    };
    let ours = match expected {
        Expected::Ours => Some(FileList::ours()?),
        Expected::Folder(folder) => Some(FileList::of_folder(folder)?),
        Expected::Hash(_) => None,
    };
    let mut findings = Findings::default();

    // In the order of a visit: the page first, as for anyone who follows a link.
    let room = format!("/r/{}", crate::draw::room()?);
    let pages = ["/", &room, "/index.html"].map(|path| (path.to_owned(), browsers.ask(path)));
    if let Some(Err(why)) = pages[0].1.first().map(|(_, answer)| answer) {
        return Err(VerifyError::Unreachable {
            address: browsers.server,
            why: why.clone(),
        });
    }
    let lists = browsers.ask(&format!("/{}", page::LIST_PATH));
    let theirs = lists
        .iter()
        .find_map(|(_, answer)| FileList::read(&answer.as_ref().ok()?.body));

    let hash = match (&ours, expected) {
        (Some(ours), _) => ours.hash(),
        (None, Expected::Hash(hash)) => *hash,
        (None, _) => return Err(VerifyError::NoClient),
    };
    browsers.judge(
        page::LIST_PATH,
        page::LIST_PATH,
        &lists,
        hash.digest(),
        &mut findings,
    );
    if let (Some(ours), Some(theirs)) = (&ours, &theirs) {
        for path in theirs.paths().filter(|path| ours.digest(path).is_none()) {
            findings.add(Trouble::Extra, path, None);
        }
    }
    // By hash alone, the files are those of the list that has it.
    let known = ours
        .as_ref()
        .or(theirs.as_ref().filter(|theirs| theirs.hash() == hash));
    let mut files = 0;
    for path in known.into_iter().flat_map(FileList::paths) {
        let Some(digest) = known.and_then(|list| list.digest(path)) else {
            continue;
        };
        files += 1;
        if path == page::INDEX {
            for (place, answers) in &pages {
                browsers.judge(page::INDEX, place, answers, digest, &mut findings);
            }
        } else {
            let answers = browsers.ask(&format!("/{path}"));
            browsers.judge(path, path, &answers, digest, &mut findings);
        }
    }
    Ok(Report {
        server: browsers.server,
        expected: hash,
        listed: theirs.map(|list| list.hash()),
        files,
        findings,
    })
}

/// The root of the server that is meant.
fn server(address: &str) -> Result<Uri, VerifyError> {
    let wrong = || VerifyError::Address(address.to_owned());
    let server: Uri = address.parse().map_err(|_| wrong())?;
    let is_web = matches!(server.scheme_str(), Some("http" | "https"));
    if !is_web || server.authority().is_none() || server.path() != "/" || server.query().is_some() {
        return Err(wrong());
    }
    Ok(server)
}

/// Visitors of one server, and what it owes them.
struct Browsers {
    agent: ureq::Agent,
    protected: hyper::HeaderMap,
    server: String,
}

/// What a visitor was told, or what went wrong.
type Told = (Visitor, Result<Answer, String>);

impl Browsers {
    fn ask(&self, path: &str) -> Vec<Told> {
        let wanted = Wanted::at(path);
        Visitor::ALL
            .map(|visitor| {
                let url = format!("{}{path}", self.server);
                (visitor, visitor.ask(&self.agent, &url, wanted))
            })
            .into()
    }

    /// Holds the answers at a place to a file.
    fn judge(
        &self,
        file: &str,
        place: &str,
        answers: &[Told],
        digest: [u8; 32],
        findings: &mut Findings,
    ) {
        for (visitor, answer) in answers {
            let mut found = |trouble| findings.add(trouble, place, Some(*visitor));
            match answer {
                Err(why) => found(Trouble::Unanswered(why.clone())),
                Ok(answer) if answer.status != 200 => found(Trouble::Status(answer.status)),
                Ok(answer) => {
                    match &answer.unknown_coding {
                        Some(coding) => found(Trouble::Coding(coding.clone())),
                        None if answer.digest() != digest => found(Trouble::Different),
                        None => {}
                    }
                    let kind = page::content_type(file);
                    headers::compare(&answer.headers, &self.protected, &kind).for_each(found);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_that_of_a_server() {
        for good in [
            "http://localhost:8080",
            "https://call.example.org/",
            "http://[::1]:80",
        ] {
            assert!(server(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "call.example.org",
            "/",
            "ftp://call.example.org",
            "https://call.example.org/r/garden",
            "https://call.example.org/?a",
            "file:///etc/passwd",
        ] {
            assert!(server(bad).is_err(), "{bad}");
        }
    }
}
