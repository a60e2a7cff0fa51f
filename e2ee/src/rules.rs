//! The rules of a call: who its hosts are, who may come in, who may not come back.
//!
//! They stand in an extension of the group's context (RFC 9420 §12.1.7), so every member's
//! keys depend on them, and whoever comes in finds them signed by a member. Only a host's
//! commit changes them; [`crate::policy`] sees to that. The server has no part in it.

use std::collections::BTreeSet;

use openmls::prelude::{
    Extension, ExtensionType, Extensions, GroupContext, RequiredCapabilitiesExtension,
    UnknownExtension,
};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::device::DeviceKey;

/// The extension's number, of those for private use (RFC 9420 §17.3).
pub const RULES_EXTENSION: u16 = 0xf0c1;

/// What the rules cost every newcomer stays bounded.
const MOST_HOSTS: usize = 32;
const MOST_BARRED: usize = 256;

/// Who may come in, the most welcoming first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Door {
    /// Everyone with the link.
    Open,
    /// Those with the link whom a host lets in.
    Lobby,
    /// Nobody but hosts.
    Locked,
}

/// Why rules are none, or do not follow from those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the rules of the call cannot be these")]
pub struct ImpossibleRules;

/// What rules allow that others, known before, do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Loosened {
    /// Somebody is a host who was none.
    #[error("it has a host who was none in yours")]
    Hosts,
    /// Somebody is let in whom a host removed.
    #[error("somebody whom a host removed may come into it")]
    Barred,
    /// Newcomers come in who had to wait for a host.
    #[error("people come into it who would have to wait for a host in yours")]
    Door,
    /// A link opens it that a host has changed.
    #[error("it opens to a link that a host of yours has changed")]
    Link,
}

/// The rules of a call, as JSON in the group's context.
///
/// Hosts are devices: one who reloads the page is a host again when back. A host who is away
/// stays one, and nobody else becomes one for it, so that the server cannot make somebody a
/// host by cutting the others off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    hosts: BTreeSet<DeviceKey>,
    door: Door,
    /// Those whom a host removed and who may not come back.
    barred: BTreeSet<DeviceKey>,
    /// How many times the link was changed.
    link: u32,
}

impl Rules {
    /// Of a new group: whoever founds it is its host, and the door is open.
    pub(crate) fn founded_by(device: DeviceKey) -> Self {
        Self {
            hosts: BTreeSet::from([device]),
            door: Door::Open,
            barred: BTreeSet::new(),
            link: 0,
        }
    }

    pub(crate) fn is_host(&self, device: &DeviceKey) -> bool {
        self.hosts.contains(device)
    }

    pub(crate) fn is_barred(&self, device: &DeviceKey) -> bool {
        self.barred.contains(device)
    }

    pub(crate) fn door(&self) -> Door {
        self.door
    }

    /// Whether newcomers need a host to come in.
    pub(crate) fn is_guarded(&self) -> bool {
        self.door != Door::Open
    }

    pub(crate) fn set_door(&mut self, door: Door) {
        self.door = door;
    }

    /// Whoever is barred, or being removed, becomes no host; nor do more than fit.
    pub(crate) fn appoint(&mut self, device: DeviceKey) {
        if !self.is_barred(&device) && self.hosts.len() < MOST_HOSTS {
            self.hosts.insert(device);
        }
    }

    /// Whether there is room for another host.
    pub(crate) fn has_room_for_host(&self) -> bool {
        self.hosts.len() < MOST_HOSTS
    }

    /// The last host cannot be dismissed: nobody could change the rules any more.
    pub(crate) fn dismiss(&mut self, device: &DeviceKey) -> bool {
        self.hosts.len() > 1 && self.hosts.remove(device)
    }

    /// Whoever is barred is no host any more. Beyond what fits, those are let go whose keys
    /// come first: any order would do, and this one needs no clock.
    pub(crate) fn bar(&mut self, device: DeviceKey) {
        self.hosts.remove(&device);
        self.barred.insert(device);
        while self.barred.len() > MOST_BARRED {
            let other = self.barred.iter().find(|it| **it != device).copied();
            other.map(|other| self.barred.remove(&other));
        }
    }

    pub(crate) fn change_link(&mut self) {
        self.link = self.link.saturating_add(1);
    }

    /// Whether a host may put these rules in the place of those before, and whether that
    /// changes the link.
    pub(crate) fn follows(&self, before: &Self) -> Result<bool, ImpossibleRules> {
        let changes_link = self.link != before.link;
        if self.is_sound() && (!changes_link || Some(self.link) == before.link.checked_add(1)) {
            Ok(changes_link)
        } else {
            Err(ImpossibleRules)
        }
    }

    /// Fails if these rules give anybody more than those known before. Other than a host's
    /// change ([`Self::follows`]) that needs nobody's word.
    pub(crate) fn examine_looser_than(&self, known: &Self) -> Result<(), Loosened> {
        if !self.hosts.is_subset(&known.hosts) {
            Err(Loosened::Hosts)
        } else if !self.barred.is_superset(&known.barred) {
            Err(Loosened::Barred)
        } else if self.door < known.door {
            Err(Loosened::Door)
        } else if self.link < known.link {
            Err(Loosened::Link)
        } else {
            Ok(())
        }
    }

    fn is_sound(&self) -> bool {
        (1..=MOST_HOSTS).contains(&self.hosts.len())
            && self.barred.len() <= MOST_BARRED
            && self.hosts.is_disjoint(&self.barred)
    }

    /// As the group's context holds them. Every member has to know the extension; there is
    /// nothing else beside these two.
    pub(crate) fn to_extensions(&self) -> Result<Extensions<GroupContext>, ImpossibleRules> {
        let bytes = serde_json::to_vec(self).map_err(|_| ImpossibleRules)?;
        let rules = Extension::Unknown(RULES_EXTENSION, UnknownExtension(bytes));
        Extensions::from_vec(vec![required(), rules]).map_err(|_| ImpossibleRules)
    }

    /// Reads them from a group's context.
    pub(crate) fn read(extensions: &Extensions<GroupContext>) -> Result<Self, ImpossibleRules> {
        let mut bytes = None;
        for extension in extensions.iter() {
            match extension {
                Extension::Unknown(RULES_EXTENSION, UnknownExtension(found)) => bytes = Some(found),
                other if *other == required() => {}
                _ => return Err(ImpossibleRules),
            }
        }
        let bytes = bytes.ok_or(ImpossibleRules)?;
        let rules: Self = serde_json::from_slice(bytes).map_err(|_| ImpossibleRules)?;
        rules.is_sound().then_some(rules).ok_or(ImpossibleRules)
    }
}

fn required() -> Extension {
    let rules = ExtensionType::Unknown(RULES_EXTENSION);
    Extension::RequiredCapabilities(RequiredCapabilitiesExtension::new(&[rules], &[], &[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(byte: u8) -> DeviceKey {
        DeviceKey::from_bytes([byte; 32])
    }

    #[test]
    fn rules_are_written_and_read_back() {
        let mut rules = Rules::founded_by(device(1));
        rules.set_door(Door::Lobby);
        rules.appoint(device(2));
        rules.bar(device(3));
        rules.change_link();
        assert_eq!(Rules::read(&rules.to_extensions().unwrap()), Ok(rules));
    }

    #[test]
    fn rules_stand_alone_in_the_context() {
        let none = Extensions::<GroupContext>::default();
        assert_eq!(Rules::read(&none), Err(ImpossibleRules));
        for text in [
            "",
            "{}",
            r#"{"hosts":[],"door":"open","barred":[],"link":0}"#,
        ] {
            let bytes = UnknownExtension(text.as_bytes().to_vec());
            let rules = Extension::Unknown(RULES_EXTENSION, bytes);
            let extensions = Extensions::from_vec(vec![required(), rules]);
            assert_eq!(
                Rules::read(&extensions.unwrap()),
                Err(ImpossibleRules),
                "{text}"
            );
        }
    }

    #[test]
    fn there_is_always_a_host() {
        let mut rules = Rules::founded_by(device(1));
        assert!(!rules.dismiss(&device(1)));
        rules.appoint(device(2));
        assert!(rules.dismiss(&device(1)));
        assert!(rules.is_host(&device(2)) && !rules.is_host(&device(1)));
        let before = rules.clone();
        rules.bar(device(2));
        assert_eq!(rules.follows(&before), Err(ImpossibleRules));
    }

    #[test]
    fn who_is_barred_becomes_no_host_and_hosts_are_not_too_many() {
        let mut rules = Rules::founded_by(device(0));
        rules.bar(device(1));
        for byte in 1..=255 {
            rules.appoint(device(byte));
        }
        assert!(rules.is_sound() && !rules.has_room_for_host());
        assert!(!rules.is_host(&device(1)));
    }

    #[test]
    fn the_link_changes_once_at_a_time() {
        let before = Rules::founded_by(device(1));
        let mut rules = before.clone();
        assert_eq!(rules.follows(&before), Ok(false));
        rules.change_link();
        assert_eq!(rules.follows(&before), Ok(true));
        assert_eq!(before.follows(&rules), Err(ImpossibleRules), "never back");
        rules.change_link();
        assert_eq!(rules.follows(&before), Err(ImpossibleRules), "never twice");
    }

    #[test]
    fn rules_that_give_more_than_known_ones_are_looser() {
        let mut known = Rules::founded_by(device(1));
        known.appoint(device(2));
        known.bar(device(3));
        known.set_door(Door::Lobby);
        known.change_link();
        assert_eq!(known.examine_looser_than(&known), Ok(()));
        let changed = |change: &dyn Fn(&mut Rules)| {
            let mut rules = known.clone();
            change(&mut rules);
            rules.examine_looser_than(&known)
        };
        assert_eq!(changed(&|it| it.set_door(Door::Locked)), Ok(()));
        assert_eq!(changed(&|it| it.bar(device(2))), Ok(()));
        assert_eq!(changed(&|it| it.appoint(device(4))), Err(Loosened::Hosts));
        assert_eq!(changed(&|it| it.set_door(Door::Open)), Err(Loosened::Door));
        assert_eq!(changed(&|it| it.barred.clear()), Err(Loosened::Barred));
        assert_eq!(changed(&|it| it.link = 0), Err(Loosened::Link));
    }

    #[test]
    fn the_list_of_the_barred_stays_short_and_keeps_the_newest() {
        let mut rules = Rules::founded_by(device(255));
        let key = |number: u16| {
            let mut bytes = [0; 32];
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            DeviceKey::from_bytes(bytes)
        };
        for number in (0..=256).rev() {
            rules.bar(key(number));
        }
        assert!(rules.is_sound());
        assert!(rules.is_barred(&key(0)), "the newest");
        assert!(!rules.is_barred(&key(1)));
    }
}
