//! Ways to slip someone into a group whose newcomers are brought in by members.

use conclave_e2ee::{LinkSecret, PolicyViolation, envelope::Kind};
use conclave_protocol::{
    Opaque, ParticipantId,
    signal::{Admission, ServerMessage},
};

use crate::{
    malicious::{assert_refused, violation},
    raw::{RawMember, envelope, ghost, knocked, link_key, raw_knock, unproven_knock},
    service::Service,
};

/// Ada and Grace, Mallory whose client keeps to nothing, and Edsger who knocks and is not
/// answered by those two.
fn at_the_door() -> (Service, Vec<ParticipantId>, RawMember, ParticipantId) {
    let (mut service, ids) = Service::with(&["Ada", "Grace"]);
    let insider = RawMember::join(&mut service, "Mallory");
    service.crowd = 1;
    service.asks_by_turns = false;
    let edsger = service.arrive("Edsger");
    service.settle();
    (service, ids, insider, edsger)
}

#[test]
fn nobody_is_brought_in_without_the_links_key() {
    let (mut service, _) = Service::with(&["Ada", "Grace"]);
    let mut insider = RawMember::join(&mut service, "Mallory");
    let id = service.announce();
    let (raw, _) = insider.admit(&service, vec![ghost(&service, id, "Ghost")], vec![]);
    let why = violation(&PolicyViolation::Added);
    assert_refused(service, insider.id, raw, &why);
}

#[test]
fn nobody_is_brought_in_with_another_key_besides() {
    let (mut service, _) = Service::with(&["Ada", "Grace"]);
    let mut insider = RawMember::join(&mut service, "Mallory");
    let id = service.announce();
    let keys = vec![link_key(&service), link_key(&service)];
    let (raw, _) = insider.admit(&service, vec![ghost(&service, id, "Ghost")], keys);
    let why = violation(&PolicyViolation::ForeignKey);
    assert_refused(service, insider.id, raw, &why);
}

#[test]
fn nobody_is_brought_in_with_a_wrong_key_under_the_links_name() {
    let (mut service, _) = Service::with(&["Ada", "Grace"]);
    let mut insider = RawMember::join(&mut service, "Mallory");
    let id = service.announce();
    let (label, _) = link_key(&service);
    let (raw, _) = insider.admit(
        &service,
        vec![ghost(&service, id, "Ghost")],
        vec![(label, [9; 32])],
    );
    assert_refused(service, insider.id, raw, "reading the commit");
}

#[test]
fn nobody_is_brought_in_as_somebody_who_is_here() {
    let (mut service, ids) = Service::with(&["Ada", "Grace"]);
    let mut insider = RawMember::join(&mut service, "Mallory");
    let keys = vec![link_key(&service)];
    let (raw, _) = insider.admit(&service, vec![ghost(&service, ids[0], "Ada")], keys);
    let why = violation(&PolicyViolation::DuplicateParticipant);
    assert_refused(service, insider.id, raw, &why);
}

#[test]
fn nobody_is_brought_in_twice_at_once() {
    let (mut service, _) = Service::with(&["Ada", "Grace"]);
    let mut insider = RawMember::join(&mut service, "Mallory");
    let id = service.announce();
    let ghosts = vec![ghost(&service, id, "Ghost"), ghost(&service, id, "Other")];
    let (raw, _) = insider.admit(&service, ghosts, vec![link_key(&service)]);
    let why = violation(&PolicyViolation::DuplicateParticipant);
    assert_refused(service, insider.id, raw, &why);
}

/// Mallory brings Edsger in with these keys, past the others: what does he say?
fn welcomed_with(keys: impl FnOnce(&Service) -> Vec<(Vec<u8>, [u8; 32])>) -> Option<String> {
    let (mut service, _, mut insider, edsger) = at_the_door();
    let key_package = knocked(&service, &service.knocks[0]);
    let keys = keys(&service);
    let (_, welcome) = insider.admit(&service, vec![key_package], keys);
    let epoch = service.group.as_ref().unwrap().epoch.next();
    let welcomed = ServerMessage::Welcomed {
        sequence: service.place(),
        epoch,
        welcome,
    };
    service.tell(edsger, welcomed);
    while service.deliver(edsger) {}
    let seen = &service.client(edsger).seen;
    assert_eq!(seen.keys.is_empty(), seen.failed.is_some());
    seen.failed.clone()
}

#[test]
fn a_welcome_without_the_links_key_is_not_followed() {
    assert_eq!(welcomed_with(|service| vec![link_key(service)]), None);
    let refused = welcomed_with(|_| vec![]).unwrap();
    assert!(
        refused.contains("does not contain the link's key"),
        "{refused}"
    );
    let doubled = |service: &Service| vec![link_key(service), link_key(service)];
    let refused = welcomed_with(doubled).unwrap();
    assert!(
        refused.contains("does not contain the link's key"),
        "{refused}"
    );
    let wrong = |service: &Service| vec![(link_key(service).0, [9; 32])];
    assert!(
        welcomed_with(wrong)
            .unwrap()
            .contains("reading the welcome")
    );
}

#[test]
fn a_welcome_into_another_group_than_the_servers_is_not_followed() {
    let (mut service, _, _, edsger) = at_the_door();
    let mut apart = RawMember::found_apart(&mut service, "Mallory");
    let key_package = knocked(&service, &service.knocks[0]);
    let keys = vec![link_key(&service)];
    let (_, welcome) = apart.admit(&service, vec![key_package], keys);
    let epoch = service.group.as_ref().unwrap().epoch.next();
    let welcomed = ServerMessage::Welcomed {
        sequence: service.place(),
        epoch,
        welcome,
    };
    service.tell(edsger, welcomed);
    while service.deliver(edsger) {}
    let failed = service.client(edsger).seen.failed.as_deref();
    assert!(failed.unwrap().contains("another group"), "{failed:?}");
}

#[test]
fn a_welcome_from_without_the_link_cannot_be_opened() {
    let (mut service, _, _, edsger) = at_the_door();
    let welcomed = ServerMessage::Welcomed {
        sequence: service.place(),
        epoch: service.group.as_ref().unwrap().epoch.next(),
        welcome: Opaque::from(vec![7; 500]),
    };
    service.tell(edsger, welcomed);
    while service.deliver(edsger) {}
    assert!(service.client(edsger).seen.failed.is_some());
    assert!(service.client(edsger).seen.keys.is_empty());
}

#[test]
fn key_packages_that_the_server_swaps_open_no_door() {
    let (mut service, ids, _, _) = at_the_door();
    service.arrive("Barbara");
    service.settle();
    let first = service.knocks[0].key_package.clone();
    service.knocks[0].key_package = service.knocks[1].key_package.clone();
    service.knocks[1].key_package = first;
    let commits = service.commits.len();
    service.ask(ids[0]);
    service.settle();
    assert_eq!(service.commits.len(), commits, "nobody was brought in");
}

#[test]
fn what_is_no_key_package_keeps_nobody_else_outside() {
    let (mut service, ids, _, edsger) = at_the_door();
    let junk = envelope(&service).seal(Kind::KeyPackage, b"junk").unwrap();
    let from_outside = {
        let ours = std::mem::replace(&mut service.secret, LinkSecret::from_bytes([8; 32]));
        let sealed = envelope(&service).seal(Kind::KeyPackage, b"junk").unwrap();
        service.secret = ours;
        sealed
    };
    for key_package in [junk, from_outside, Opaque::from(Vec::new())] {
        let participant = service.announce();
        let knock = conclave_protocol::signal::Knock {
            participant,
            key_package,
        };
        service.knocks.insert(0, knock);
    }
    service.ask(ids[0]);
    service.settle();
    assert_eq!(service.client(edsger).seen.joined, 1);
    let strangers = service.client(ids[0]).seen.strangers;
    assert_eq!(strangers, 2, "two were not sealed with the link's key");
}

#[test]
fn who_knocks_with_a_key_package_that_expires_stays_outside_and_harms_nobody() {
    let (mut service, ids, _, edsger) = at_the_door();
    for seconds in [Some(3600), None] {
        let id = service.announce();
        let knock = raw_knock(&service, id, "Eve", seconds);
        service.knocks.insert(0, knock);
    }
    service.ask(ids[0]);
    service.settle();
    assert_eq!(service.client(edsger).seen.joined, 1);
    let names = service.client(ids[0]).names();
    let eves = names.iter().filter(|name| **name == "Eve").count();
    assert_eq!(eves, 1, "only who knocks for good");
}

#[test]
fn who_knocks_with_an_unproven_device_stays_outside_and_harms_nobody() {
    let (mut service, ids, _, edsger) = at_the_door();
    let ghost = service.announce();
    let knock = unproven_knock(&service, ghost, "Eve");
    service.knocks.insert(0, knock);
    service.ask(ids[0]);
    service.settle();
    assert_eq!(service.client(edsger).seen.joined, 1);
    for id in &ids {
        assert_eq!(service.client(*id).seen.refused, []);
        assert!(!service.client(*id).names().contains(&"Eve"));
    }
}

#[test]
fn an_admission_that_a_member_refuses_is_taken_back_and_the_newcomer_told() {
    let (mut service, ids, mut insider, edsger) = at_the_door();
    let before = service.client(ids[0]).newest_key();
    // With Edsger, Mallory brings in a ghost in Ada's name.
    let packages = vec![
        knocked(&service, &service.knocks[0]),
        ghost(&service, ids[0], "Ada"),
    ];
    let (raw, welcome) = insider.admit(&service, packages, vec![link_key(&service)]);
    let admission = Admission {
        admitted: vec![edsger],
        welcome,
    };
    service.submit_admission(insider.id, raw, Some(admission));
    for id in &ids {
        while service.deliver(*id) {}
    }
    service.hear(ids[0]);
    service.settle();
    for id in &ids {
        let seen = &service.client(*id).seen;
        assert_eq!((seen.refused.len(), seen.failed.as_ref()), (1, None));
        assert_eq!(service.client(*id).newest_key(), before);
    }
    let seen = &service.client(edsger).seen;
    assert!(seen.failed.is_some(), "he is not left alone with the ghost");
    service.leave(edsger);
    service.dismiss(insider.id);
    service.settle();
    service.asks_by_turns = true;
    service.arrive("Edsger");
    service.settle();
    service.wait(std::time::Duration::from_secs(2));
    let names = service.client(ids[0]).names();
    assert_eq!(names.len(), 3, "{names:?}");
    let newest = service.client(ids[0]).newest_key();
    assert_eq!(service.client(ids[1]).newest_key(), newest);
}
