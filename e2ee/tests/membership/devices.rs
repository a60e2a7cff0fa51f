//! Who is who: devices that are known again, and those who pretend to be them.

use conclave_e2ee::{Device, DeviceKey, PolicyViolation};
use conclave_protocol::ParticipantId;

use crate::{
    malicious::{assert_refused, violation},
    raw::RawMember,
    service::Service,
};

fn device_of(service: &Service, seen_by: ParticipantId, name: &str) -> DeviceKey {
    service.client(seen_by).member(name).device
}

#[test]
fn a_device_is_known_again_in_every_call_and_by_everyone() {
    let ada = Device::generate().unwrap();
    for _ in 0..2 {
        let (mut service, ids) = Service::with(&["Grace", "Edsger"]);
        let secret = service.secret.clone();
        let id = service.arrive_on(&ada, "Ada", &secret);
        service.settle();
        for seen_by in [ids[0], ids[1], id] {
            assert_eq!(device_of(&service, seen_by, "Ada"), ada.key());
        }
    }
}

#[test]
fn two_devices_see_the_same_digits_of_each_other() {
    let (service, ids) = Service::with(&["Ada", "Grace", "Edsger"]);
    let code = |from: usize, name: &str| service.client(ids[from]).member(name).pair_code;
    assert!(code(0, "Grace").is_some());
    assert_eq!(code(0, "Grace"), code(1, "Ada"));
    assert_ne!(code(0, "Grace"), code(0, "Edsger"));
    assert_eq!(code(0, "Ada"), None, "nobody compares with oneself");
}

#[test]
fn everyone_in_a_call_has_the_same_code_and_a_new_one_after_each_change() {
    let (mut service, ids) = Service::with(&["Ada", "Grace", "Edsger"]);
    let code = |service: &Service, id| service.client(id).seen.call_code.unwrap();
    let before = code(&service, ids[0]);
    assert!(ids.iter().all(|id| code(&service, *id) == before));
    assert_eq!(before.to_string().len(), 35);
    service.leave(ids[2]);
    service.settle();
    assert_ne!(code(&service, ids[0]), before);
    assert_eq!(code(&service, ids[0]), code(&service, ids[1]));
}

#[test]
fn nobody_comes_in_with_somebody_elses_device() {
    let (mut service, ids) = Service::with(&["Ada", "Grace"]);
    let adas = device_of(&service, ids[1], "Ada");
    let id = service.announce();
    let raw = RawMember::knock_as(&service, id, |own| {
        let mut stolen = own.clone();
        stolen.device.key = adas;
        stolen
    });
    let why = violation(&PolicyViolation::UnprovenDevice);
    assert_refused(service, id, raw, &why);
}

#[test]
fn a_devices_word_for_one_stay_is_worth_nothing_for_another() {
    let (mut service, _) = Service::with(&["Ada", "Grace"]);
    let earlier = std::cell::RefCell::new(None);
    let id = service.announce();
    RawMember::knock_as(&service, id, |own| {
        *earlier.borrow_mut() = Some(own.device.clone());
        own.clone()
    });
    let raw = RawMember::knock_as(&service, id, |own| {
        let mut replayed = own.clone();
        replayed.device = earlier.take().unwrap();
        replayed
    });
    let why = violation(&PolicyViolation::UnprovenDevice);
    assert_refused(service, id, raw, &why);
}

#[test]
fn nobody_changes_the_key_that_their_device_vouched_for() {
    let (mut service, _) = Service::with(&["Ada", "Grace"]);
    let mut insider = RawMember::join(&mut service, "Mallory");
    let raw = insider.change_key(&service);
    let why = violation(&PolicyViolation::IdentityChanged);
    assert_refused(service, insider.id, raw, &why);
}

#[test]
fn a_group_with_an_unproven_device_is_not_entered() {
    let (mut service, ids) = Service::with(&["Ada"]);
    let adas = device_of(&service, ids[0], "Ada");
    let id = service.announce();
    let raw = RawMember::knock_as(&service, id, |own| {
        let mut stolen = own.clone();
        stolen.device.key = adas;
        stolen
    });
    // The server lets it through, past Ada, and shows the next one the group after it.
    service.submit(id, raw);
    let late = service.arrive("Latecomer");
    service.deliver(late);
    let failed = service.client(late).seen.failed.as_deref();
    assert!(failed.unwrap().contains("vouch"), "{failed:?}");
    assert!(service.client(late).outbox.is_empty());
}
