//! What those try who are no hosts, and what hosts try who go too far.

use conclave_e2ee::{Door, HostRequest, PolicyViolation};
use conclave_protocol::{ParticipantId, signal::RuleChange};

use crate::{
    hosts::{call, set_door},
    malicious::violation,
    raw::RawMember,
    service::Service,
};

/// A member with a client of their own tries something, and everyone refuses it.
fn assert_insider_refused(
    attack: impl FnOnce(&mut RawMember, &Service) -> (crate::raw::RawCommit, Option<RuleChange>),
    why: &PolicyViolation,
) {
    let (mut service, _) = call(&["Ada", "Grace"]);
    let mut insider = RawMember::join(&mut service, "Mallory");
    let before = service
        .client(service.clients.keys().next().copied().unwrap())
        .newest_key();
    let (raw, rules) = attack(&mut insider, &service);
    service.submit_rules(insider.id, raw, rules);
    service.settle();
    for client in service.clients.values() {
        let (_, reason) = client.seen.refused.last().expect("has refused it");
        assert!(reason.contains(&violation(why)), "{reason}");
        assert_eq!(client.newest_key(), before);
        assert_eq!((client.seen.links, client.seen.door), (0, Some(Door::Open)));
    }
    assert!(!service.guarded, "the server takes it back");
}

#[test]
fn nobody_makes_themselves_a_host() {
    assert_insider_refused(
        |insider, service| {
            let rules = insider.rules_with_host();
            (insider.change_rules(service, &rules), Some(guarded(false)))
        },
        &PolicyViolation::NotAHost,
    );
}

fn guarded(guarded: bool) -> RuleChange {
    RuleChange {
        guarded,
        removed: None,
        lock: None,
    }
}

#[test]
fn whoever_is_no_host_cannot_tell_the_server_that_the_door_is_guarded() {
    assert_insider_refused(
        |insider, service| (insider.refresh(service), Some(guarded(true))),
        &PolicyViolation::NotAHost,
    );
}

#[test]
fn a_removal_that_the_group_does_not_hear_of_is_refused() {
    assert_insider_refused(
        |insider, service| {
            let grace = service
                .clients
                .values()
                .next()
                .unwrap()
                .member("Grace")
                .participant;
            let rules = RuleChange {
                removed: Some(grace),
                ..guarded(false)
            };
            (insider.refresh(service), Some(rules))
        },
        &PolicyViolation::NotAHost,
    );
}

/// Someone whom Ada has made a host, with a client of their own.
fn with_raw_host() -> (Service, Vec<ParticipantId>, RawMember) {
    let (mut service, ids) = call(&["Ada", "Grace", "Edsger"]);
    let mut raw = RawMember::join(&mut service, "Mallory");
    let participant = raw.id;
    service
        .host(ids[0], HostRequest::Appoint { participant })
        .unwrap();
    service.settle();
    raw.follow(&service);
    (service, ids, raw)
}

fn assert_host_refused(
    attack: impl FnOnce(&mut RawMember, &Service) -> (crate::raw::RawCommit, Option<RuleChange>),
    why: &PolicyViolation,
) {
    let (mut service, ids, mut host) = with_raw_host();
    let before = service.client(ids[0]).newest_key();
    let (raw, rules) = attack(&mut host, &service);
    service.submit_rules(host.id, raw, rules);
    service.settle();
    for id in ids {
        let client = service.client(id);
        let (_, reason) = client.seen.refused.last().expect("has refused it");
        assert!(reason.contains(&violation(why)), "{reason}");
        assert_eq!(client.newest_key(), before);
    }
}

#[test]
fn a_host_tells_the_server_the_same_as_the_group() {
    // Rules change without a word to the server.
    assert_host_refused(
        |host, service| {
            let rules = host.rules().replace("\"open\"", "\"lobby\"");
            (host.change_rules(service, &rules), None)
        },
        &PolicyViolation::Mislabelled,
    );
    // The server hears of a guarded door that is open.
    assert_host_refused(
        |host, service| (host.refresh(service), Some(guarded(true))),
        &PolicyViolation::Mislabelled,
    );
    // The link changes, and the server is told another lock.
    assert_host_refused(
        |host, service| {
            let rules = host.rules().replace("\"link\":0", "\"link\":1");
            let auth = service.secret.keys(&service.room).room_auth();
            let told = RuleChange {
                lock: Some(conclave_protocol::RoomLock::for_key(&auth)),
                ..guarded(false)
            };
            (host.change_rules(service, &rules), Some(told))
        },
        &PolicyViolation::Mislabelled,
    );
}

#[test]
fn a_host_cannot_silence_several_at_once() {
    assert_host_refused(
        |host, service| {
            let of = |name: &str| {
                service
                    .clients
                    .values()
                    .next()
                    .unwrap()
                    .member(name)
                    .clone()
            };
            let (grace, edsger) = (of("Grace"), of("Edsger"));
            let told = RuleChange {
                removed: Some(grace.participant),
                ..guarded(false)
            };
            let raw = host.remove_all(service, &[grace.leaf.get(), edsger.leaf.get()]);
            (raw, Some(told))
        },
        &PolicyViolation::RemovedSeveral,
    );
}

#[test]
fn a_host_cannot_leave_a_call_without_hosts_or_with_other_extensions() {
    let impossible = PolicyViolation::ImpossibleRules(conclave_e2ee::rules::ImpossibleRules);
    for rules in [
        r#"{"hosts":[],"door":"open","barred":[],"link":0}"#,
        r#"{"rules":"none"}"#,
    ] {
        assert_host_refused(
            |host, service| (host.change_rules(service, rules), Some(guarded(false))),
            &impossible,
        );
    }
    assert_host_refused(
        |host, service| (host.change_extensions(service), Some(guarded(false))),
        &impossible,
    );
}

#[test]
fn whoever_has_the_link_does_not_come_in_past_the_hosts() {
    for door in [Door::Lobby, Door::Locked] {
        let (mut service, ids) = call(&["Ada", "Grace"]);
        set_door(&mut service, ids[0], door);
        let before = service.client(ids[0]).newest_key();
        let id = service.announce();
        let keys = vec![crate::raw::link_key(&service)];
        let (_, raw) = RawMember::knock(&service, id, "Ghost", keys);
        service.submit(id, raw);
        service.settle();
        for id in ids {
            let client = service.client(id);
            let (_, why) = client.seen.refused.last().expect("has refused it");
            assert!(
                why.contains(&violation(&PolicyViolation::DoorClosed)),
                "{why}"
            );
            assert_eq!(client.newest_key(), before);
        }
    }
}

#[test]
fn whoever_was_barred_does_not_come_in_by_force() {
    let (mut service, ids, mut host) = with_raw_host();
    let barred = crate::raw::Key::new();
    let list = format!(r#""barred":["{}"]"#, barred.device());
    let rules = host.rules().replace(r#""barred":[]"#, &list);
    let raw = host.change_rules(&service, &rules);
    // The group after it, which the raw host does not hand in, is of no use to newcomers.
    service.submit_rules(host.id, raw, Some(guarded(false)));
    service.settle();
    host.merge_own();
    service.group.as_mut().unwrap().group_info = host.group_info(&service);
    let id = service.announce();
    let raw = RawMember::barge_in(&service, id, barred);
    service.submit(id, raw);
    service.settle();
    for id in ids {
        let (_, why) = service
            .client(id)
            .seen
            .refused
            .last()
            .expect("has refused it");
        assert!(why.contains(&violation(&PolicyViolation::Barred)), "{why}");
    }
}

#[test]
fn a_member_who_is_no_host_brings_nobody_in_past_the_hosts() {
    let (mut service, ids) = call(&["Ada", "Grace"]);
    let mut insider = RawMember::join(&mut service, "Mallory");
    service
        .host(ids[0], HostRequest::SetDoor { door: Door::Lobby })
        .unwrap();
    service.settle();
    insider.follow(&service);
    let id = service.announce();
    let package = crate::raw::ghost(&service, id, "Ghost");
    let keys = vec![crate::raw::link_key(&service)];
    let (raw, _) = insider.admit(&service, vec![package], keys);
    service.submit(insider.id, raw);
    service.settle();
    for id in ids {
        let (_, why) = service
            .client(id)
            .seen
            .refused
            .last()
            .expect("has refused it");
        assert!(
            why.contains(&violation(&PolicyViolation::DoorClosed)),
            "{why}"
        );
    }
}
