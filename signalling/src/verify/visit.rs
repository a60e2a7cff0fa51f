//! Asking like a browser. A server that means to deceive would look at who asks.

use std::{fmt, fs, path::Path, sync::Arc, time::Duration};

use hyper::{
    HeaderMap,
    header::{ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_ENCODING, USER_AGENT},
};
use sha2::{Digest, Sha256};
use ureq::{
    Agent,
    tls::{PemItem, RootCerts, TlsConfig, parse_pem},
};

use super::VerifyError;

/// How long one answer may take, on a slow line.
const PATIENCE: Duration = Duration::from_secs(60);

/// No file of a client is larger, once decoded.
const LARGEST: u64 = 64 << 20;

/// A browser that takes one content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Visitor {
    browser: Browser,
    coding: Coding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Browser {
    Chromium,
    Firefox,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Coding {
    Identity,
    Gzip,
    Brotli,
}

impl Coding {
    /// As it is called (RFC 9110 §8.4.1, RFC 7932).
    const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Brotli => "br",
        }
    }
}

impl fmt::Display for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let browser = match self.browser {
            Browser::Chromium => "Chromium",
            Browser::Firefox => "Firefox",
        };
        write!(f, "{browser} with {}", self.coding.name())
    }
}

/// What a browser wants a file for (Fetch §2.2.5, "destination").
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    Page,
    Script,
    Style,
    Image,
    Manifest,
    Data,
}

impl Wanted {
    pub(super) fn at(path: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or_default();
        match name.rsplit_once('.').map(|(_, ending)| ending) {
            None | Some("html") => Self::Page,
            Some("js") => Self::Script,
            Some("css") => Self::Style,
            Some("svg" | "png") => Self::Image,
            Some("webmanifest") => Self::Manifest,
            Some(_) => Self::Data,
        }
    }

    /// Destination, mode and site.
    const fn metadata(self) -> [&'static str; 3] {
        match self {
            Self::Page => ["document", "navigate", "none"],
            Self::Script => ["script", "cors", "same-origin"],
            Self::Style => ["style", "cors", "same-origin"],
            Self::Image => ["image", "no-cors", "same-origin"],
            Self::Manifest => ["manifest", "cors", "same-origin"],
            Self::Data => ["empty", "cors", "same-origin"],
        }
    }
}

impl Visitor {
    pub(super) const ALL: [Self; 6] = [
        Self::new(Browser::Chromium, Coding::Identity),
        Self::new(Browser::Chromium, Coding::Gzip),
        Self::new(Browser::Chromium, Coding::Brotli),
        Self::new(Browser::Firefox, Coding::Identity),
        Self::new(Browser::Firefox, Coding::Gzip),
        Self::new(Browser::Firefox, Coding::Brotli),
    ];

    const fn new(browser: Browser, coding: Coding) -> Self {
        Self { browser, coding }
    }

    /// Asks for one address, and says in words what went wrong.
    pub(super) fn ask(self, agent: &Agent, url: &str, wanted: Wanted) -> Result<Answer, String> {
        let agent_name = match self.browser {
            Browser::Chromium => {
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/156.0.0.0 Safari/537.36"
            }
            Browser::Firefox => {
                "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"
            }
        };
        let accepted = match wanted {
            Wanted::Page => "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            Wanted::Style => "text/css,*/*;q=0.1",
            _ => "*/*",
        };
        let [destination, mode, site] = wanted.metadata();
        let answer = agent
            .get(url)
            .header(USER_AGENT, agent_name)
            .header(ACCEPT, accepted)
            .header(ACCEPT_LANGUAGE, "en-US,en;q=0.5")
            .header(ACCEPT_ENCODING, self.coding.name())
            .header("sec-fetch-dest", destination)
            .header("sec-fetch-mode", mode)
            .header("sec-fetch-site", site)
            .call()
            .map_err(|error| error.to_string())?;
        let (head, body) = answer.into_parts();
        let body = body.into_with_config().limit(LARGEST).read_to_vec();
        // The codings that were asked for are undone, and no longer named, by now.
        let unknown_coding = head.headers.get(CONTENT_ENCODING);
        Ok(Answer {
            status: head.status.as_u16(),
            unknown_coding: unknown_coding.map(|v| String::from_utf8_lossy(v.as_bytes()).into()),
            headers: head.headers,
            body: body.map_err(|error| error.to_string())?,
        })
    }
}

/// What a server answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// A content coding that could not be undone.
    pub(super) unknown_coding: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.body).into()
    }
}

/// What speaks HTTP, trusting the certificates in a file or else the public authorities.
pub(super) fn agent(authority: Option<&Path>) -> Result<Agent, VerifyError> {
    let roots = match authority {
        None => RootCerts::WebPki,
        Some(file) => certificates(file)?,
    };
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let tls = TlsConfig::builder()
        .root_certs(roots)
        .unversioned_rustls_crypto_provider(Arc::new(provider))
        .build();
    Ok(Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(PATIENCE))
        .build()
        .new_agent())
}

fn certificates(file: &Path) -> Result<RootCerts, VerifyError> {
    let wrong = |why: String| VerifyError::Certificates {
        file: file.to_owned(),
        why,
    };
    let pem = fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let mut roots = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(root) = item.map_err(|error| wrong(error.to_string()))? {
            roots.push(root);
        }
    }
    if roots.is_empty() {
        return Err(wrong("it holds none in PEM".to_owned()));
    }
    Ok(RootCerts::from(roots))
}
