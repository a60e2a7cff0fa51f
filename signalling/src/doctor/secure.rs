//! Certificates and the clock by which they end.

use std::{
    net::ToSocketAddrs as _,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use super::Finding;
use crate::{settings::Settings, tls::TlsFiles};

/// Certificates are usually renewed this long before their end at the latest.
const SOON: Duration = Duration::from_secs(14 * 86_400);

pub(super) fn examine(settings: &Settings) -> Vec<Finding> {
    let mut found = vec![clock()];
    match (&settings.tls_certificate, &settings.tls_key) {
        (Some(certificate), Some(key)) => found.push(certificate_of(&TlsFiles {
            certificate: certificate.clone(),
            key: key.clone(),
        })),
        _ if !settings.acme_domains.is_empty() => found.push(automatic(settings)),
        _ if settings.listen.ip().is_loopback() || settings.plain_http => {
            found.push(Finding::good(
                "https",
                "left to a proxy; browsers give cameras to https and to localhost only",
            ));
        }
        _ => found.push(Finding::bad(
            "https",
            "others can reach the front door, and it would speak plain http",
            "give --tls-certificate and --tls-key, or listen on 127.0.0.1 behind a proxy",
        )),
    }
    found
}

/// The names have to lead here, or the authority believes nothing.
fn automatic(settings: &Settings) -> Finding {
    let what = "certificate";
    for domain in &settings.acme_domains {
        let found = (domain.as_str(), 80).to_socket_addrs();
        if found.is_ok_and(|mut addresses| addresses.next().is_some()) {
            continue;
        }
        return Finding::bad(
            what,
            format!("{domain} leads nowhere, so that no authority can look here"),
            "make DNS entries (A, AAAA) that lead to this machine",
        );
    }
    let port = settings.redirect_http.map(|it| it.port());
    if port.is_some_and(|port| port != 80) {
        return Finding::doubtful(
            what,
            "it comes by itself, if --redirect-http is reached at port 80 from outside",
            "listen on port 80 there, or forward it",
        );
    }
    Finding::good(what, "it comes by itself; its names lead somewhere")
}

fn certificate_of(files: &TlsFiles) -> Finding {
    let what = "certificate";
    let key = match files.read() {
        Ok(key) => key,
        Err(error) => return Finding::bad(what, "it cannot be used", error.to_string()),
    };
    let end = key.cert.first().and_then(|it| {
        let (_, certificate) = X509Certificate::from_der(it).ok()?;
        u64::try_from(certificate.validity().not_after.timestamp()).ok()
    });
    let Some(end) = end else {
        return Finding::doubtful(
            what,
            "its end cannot be read",
            "look at it with openssl x509",
        );
    };
    let end = UNIX_EPOCH + Duration::from_secs(end);
    let day = humantime::format_rfc3339_seconds(end);
    match end.duration_since(SystemTime::now()) {
        Err(_) => Finding::bad(
            what,
            format!("it ended at {day}"),
            "renew it; the server reads the new one by itself",
        ),
        Ok(left) if left < SOON => Finding::doubtful(
            what,
            format!("it ends at {day}"),
            "see why it was not renewed yet; the server reads a new one by itself",
        ),
        Ok(_) => Finding::good(what, format!("good until {day}")),
    }
}

/// A clock that is off makes certificates look ended, and invitations too.
fn clock() -> Finding {
    let what = "clock";
    let asked = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .output();
    match asked.map(|it| String::from_utf8_lossy(&it.stdout).trim().to_owned()) {
        Ok(said) if said == "yes" => Finding::good(what, "set by the network"),
        Ok(said) if said == "no" => Finding::doubtful(
            what,
            "not set by the network",
            "switch on time synchronisation: timedatectl set-ntp true",
        ),
        // Containers have their host's clock and nobody to ask.
        _ => Finding::good(what, "nobody here can say whether the network sets it"),
    }
}
