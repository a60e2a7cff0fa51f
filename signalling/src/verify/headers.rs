//! The headers that keep the page to itself, held to those of this build.

use hyper::{
    HeaderMap,
    header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, LINK, REFRESH},
    http::uri::Authority,
};

use super::finding::Trouble;
use crate::page;

/// Headers by which a server can make the page load or become something that is in no file.
const MEDDLING: [HeaderName; 3] = [
    LINK,
    REFRESH,
    HeaderName::from_static("service-worker-allowed"),
];

/// What this build sends with every answer to requests for a host.
pub(super) fn of(host: Option<&Authority>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    page::protect(&mut headers, host);
    headers
}

/// What is wrong with the headers of an answer.
pub(super) fn compare(
    sent: &HeaderMap,
    protected: &HeaderMap,
    content_type: &str,
) -> impl Iterator<Item = Trouble> {
    let owed = protected
        .iter()
        .map(|(name, value)| (name.clone(), text(value)))
        .chain([(CONTENT_TYPE, content_type.to_owned())]);
    let mut troubles = Vec::new();
    for (name, owed) in owed {
        let values: Vec<_> = all(sent, &name).collect();
        let is_kept = match &values[..] {
            [only] => *only == owed,
            // Browsers obey every policy that comes: more of them are only stricter.
            several => name == CONTENT_SECURITY_POLICY && several.contains(&owed),
        };
        if !is_kept {
            troubles.push(Trouble::Header {
                name: name.to_string(),
                sent: (!values.is_empty()).then(|| values.join(", ")),
                owed,
            });
        }
    }
    for name in MEDDLING {
        troubles.extend(all(sent, &name).map(|value| Trouble::Meddling {
            name: name.to_string(),
            value,
        }));
    }
    troubles.into_iter()
}

fn all(headers: &HeaderMap, name: &HeaderName) -> impl Iterator<Item = String> {
    headers.get_all(name).iter().map(text)
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTML: &str = "text/html; charset=utf-8";

    /// The names of the headers that are wrong after a change.
    fn wrong(change: impl FnOnce(&mut HeaderMap)) -> Vec<String> {
        let protected = of(Some(&Authority::from_static("call.example")));
        let mut sent = protected.clone();
        sent.insert(CONTENT_TYPE, HeaderValue::from_static(HTML));
        sent.insert("via", HeaderValue::from_static("1.1 proxy"));
        change(&mut sent);
        compare(&sent, &protected, HTML)
            .map(|trouble| match trouble {
                Trouble::Header { name, .. } | Trouble::Meddling { name, .. } => name,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn with(name: &'static str, value: &'static str) -> Vec<String> {
        wrong(|sent| {
            sent.insert(name, HeaderValue::from_static(value));
        })
    }

    fn with_another(name: &'static str, value: &'static str) -> Vec<String> {
        wrong(|sent| {
            sent.append(name, HeaderValue::from_static(value));
        })
    }

    #[test]
    fn the_headers_of_this_build_are_kept_beside_those_of_a_proxy() {
        assert_eq!(wrong(|_| {}), [""; 0]);
    }

    #[test]
    fn what_is_left_out_is_missed() {
        let protected = of(None);
        assert_eq!(protected.len(), 8);
        for name in protected.into_iter().filter_map(|(name, _)| name) {
            let missed = wrong(|sent| {
                sent.remove(&name);
            });
            assert_eq!(missed, [name.as_str()]);
        }
    }

    #[test]
    fn a_second_policy_only_tightens_but_other_headers_are_said_once() {
        let policy = "content-security-policy";
        assert_eq!(with_another(policy, "default-src *"), [""; 0]);
        assert_eq!(with(policy, "default-src *"), [policy]);
        let opener = "cross-origin-opener-policy";
        assert_eq!(with_another(opener, "same-origin"), [opener]);
        // A type that makes other text of the same bytes.
        let other = "text/html; charset=iso-2022-jp";
        assert_eq!(with("content-type", other), ["content-type"]);
    }

    #[test]
    fn headers_that_load_something_are_noticed() {
        for (name, value) in [
            ("link", "</evil.css>; rel=stylesheet"),
            ("refresh", "0; url=https://evil.example"),
            ("service-worker-allowed", "/"),
        ] {
            assert_eq!(with(name, value), [name]);
        }
    }
}
