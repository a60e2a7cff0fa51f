//! The web client, and the headers that keep its page to itself.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{
        ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
        ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, REFERRER_POLICY, VARY,
        X_CONTENT_TYPE_OPTIONS,
    },
    http::uri::Authority,
};
use rust_embed::{Embed, EmbeddedFile};

use crate::answer::{self, Body};

/// The built client. Debug builds read it from the folder at run time.
#[derive(Embed)]
#[folder = "$CARGO_MANIFEST_DIR/../web/dist"]
struct Client;

/// What the page may do. `{connect}` becomes this host's WebSocket addresses, since not
/// every browser counts them to `'self'`. The one Trusted Types policy is the client's own
/// and lets workers be started from its assets only.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; \
    style-src 'self'; font-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; \
    connect-src 'self'{connect}; worker-src 'self'; manifest-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
    trusted-types default";

/// What every answer carries besides the content policy.
const FIXED_HEADERS: [(HeaderName, &str); 7] = [
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-embedder-policy"),
        "require-corp",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(self), microphone=(self), display-capture=(self), geolocation=(), payment=(), \
         usb=(), serial=(), midi=()",
    ),
    // No script without its hash in the tag that loads it (W3C SRI §3.8).
    (
        HeaderName::from_static("integrity-policy"),
        "blocked-destinations=(script)",
    ),
    // A link's fragment is never sent anywhere; nor shall the room's name be.
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

/// The page among the client's files.
pub(crate) const INDEX: &str = "index.html";

/// The list of the client's files with their hashes, in the client and at the server's root.
pub(crate) const LIST_PATH: &str = ".well-known/conclave/client.json";

/// The folder whose files carry a hash of their content in their name.
const HASHED: &str = "assets/";

/// Compressed twins that the client's build lays beside a file, the smaller first: the
/// content coding (RFC 9110 §8.4.1) and the ending of the name.
const CODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

/// Puts the protective headers on an answer.
pub(crate) fn protect(headers: &mut HeaderMap, host: Option<&Authority>) {
    for (name, value) in FIXED_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let connect = host
        .filter(|host| is_plain(host))
        .map(|host| format!(" ws://{host} wss://{host}"))
        .unwrap_or_default();
    let policy = CONTENT_POLICY.replace("{connect}", &connect);
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
}

/// True when a host can stand in the policy without saying anything else there.
fn is_plain(host: &Authority) -> bool {
    host.as_str()
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b))
}

/// The page itself.
pub(crate) fn index(asked: &HeaderMap) -> Response<Body> {
    serve(INDEX, asked).unwrap_or_else(|| {
        answer::problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "the web client was not built: run make web",
        )
    })
}

/// The list of the client's files, if it has one.
pub(crate) fn list(asked: &HeaderMap) -> Option<Response<Body>> {
    serve(LIST_PATH, asked)
}

/// A file as it was built into this program.
pub(crate) fn embedded(path: &str) -> Option<Cow<'static, [u8]>> {
    Some(Client::get(path)?.data)
}

/// A file of the client, if it has one at this path.
pub(crate) fn file(path: &str, asked: &HeaderMap) -> Option<Response<Body>> {
    let hidden = path
        .split('/')
        .any(|part| part.is_empty() || part.starts_with('.'));
    if hidden || path.contains('\\') {
        return None;
    }
    serve(path, asked)
}

fn serve(path: &str, asked: &HeaderMap) -> Option<Response<Body>> {
    let (file, coding) = choose(path, asked)?;
    let tag = format!("\"{}\"", hex::encode(file.metadata.sha256_hash()));
    let mut response = if is_known(asked, &tag) {
        let mut response = Response::new(Body::default());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let bytes = match file.data {
            Cow::Borrowed(embedded) => Bytes::from_static(embedded),
            Cow::Owned(read) => Bytes::from(read),
        };
        let mut response = Response::new(Body::new(bytes));
        if let Ok(kind) = HeaderValue::try_from(content_type(path)) {
            response.headers_mut().insert(CONTENT_TYPE, kind);
        }
        response
    };
    let cache = if path.starts_with(HASHED) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(coding) = coding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(ETAG, tag);
    }
    Some(response)
}

/// The smallest form of a file that the browser takes.
fn choose(path: &str, asked: &HeaderMap) -> Option<(EmbeddedFile, Option<&'static str>)> {
    CODINGS
        .iter()
        .filter(|(coding, _)| is_accepted(asked, coding))
        .find_map(|(coding, ending)| {
            Some((Client::get(&format!("{path}{ending}"))?, Some(*coding)))
        })
        .or_else(|| Some((Client::get(path)?, None)))
}

/// RFC 9110 §12.5.3, without the order of preferences: the server has its own.
fn is_accepted(asked: &HeaderMap, coding: &str) -> bool {
    asked
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|accepted| {
            let (name, weight) = accepted.split_once(';').unwrap_or((accepted, ""));
            let refused = weight
                .trim()
                .strip_prefix("q=")
                .and_then(|q| q.parse::<f32>().ok())
                .is_some_and(|q| q <= 0.0);
            name.trim().eq_ignore_ascii_case(coding) && !refused
        })
}

/// RFC 9110 §13.1.2, with weak comparison.
fn is_known(asked: &HeaderMap, tag: &str) -> bool {
    asked
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == tag || known == "*")
}

/// What browsers are told that a file is.
pub(crate) fn content_type(path: &str) -> String {
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    let is_text = kind.type_() == mime_guess::mime::TEXT
        || kind.subtype() == mime_guess::mime::JSON
        || kind.subtype() == mime_guess::mime::JAVASCRIPT;
    if is_text {
        format!("{}; charset=utf-8", kind.essence_str())
    } else {
        kind.essence_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_get_the_types_that_they_insist_on() {
        assert_eq!(content_type("assets/a.wasm"), "application/wasm");
        assert_eq!(
            content_type("assets/a.js"),
            "text/javascript; charset=utf-8"
        );
        assert_eq!(content_type("index.html"), "text/html; charset=utf-8");
        assert_eq!(content_type("a.css"), "text/css; charset=utf-8");
        assert_eq!(content_type("favicon.svg"), "image/svg+xml");
    }

    #[test]
    fn a_host_cannot_write_into_the_policy() {
        let policy = |host: &str| {
            let host: Authority = host.parse().expect("an authority");
            let mut headers = HeaderMap::new();
            protect(&mut headers, Some(&host));
            headers[CONTENT_SECURITY_POLICY]
                .to_str()
                .expect("text")
                .to_owned()
        };
        assert!(policy("a.example:8080").contains("ws://a.example:8080 wss://a.example:8080;"));
        assert!(policy("[::1]:8080").contains("wss://[::1]:8080;"));
        for hostile in ["a;script-src*", "a'b", "user@host", "*"] {
            assert!(policy(hostile).contains("connect-src 'self';"), "{hostile}");
        }
    }

    #[test]
    fn a_coding_is_accepted_when_it_is_named_and_not_refused() {
        let accepted = |value: &'static str, coding| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
            is_accepted(&headers, coding)
        };
        assert!(accepted("gzip, deflate, br, zstd", "br"));
        assert!(accepted("GZIP;q=0.5", "gzip"));
        assert!(!accepted("gzip, br;q=0", "br"));
        assert!(!accepted("br;q=0.000", "br"));
        assert!(!accepted("brotli", "br"));
        assert!(!is_accepted(&HeaderMap::new(), "gzip"));
    }

    #[test]
    fn a_known_tag_is_recognised_in_any_form() {
        let known = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static(value));
            is_known(&headers, "\"abc\"")
        };
        assert!(known("\"abc\""));
        assert!(known("\"x\", W/\"abc\""));
        assert!(known("*"));
        assert!(!known("\"ab\""));
        assert!(!known("abc"));
    }

    #[test]
    fn no_path_leads_out_of_the_client() {
        let asked = HeaderMap::new();
        for path in [
            "../Cargo.toml",
            "./index.html",
            "assets/../../Cargo.toml",
            "..\\x",
            "",
            "/etc/passwd",
            ".git",
        ] {
            assert!(file(path, &asked).is_none(), "{path}");
        }
    }
}
