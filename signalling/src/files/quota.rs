//! How much may be stored, and for whom.

use std::time::Duration;

use conclave_protocol::file::SealedLength;

use super::refusal::Refusal;

/// Bounds on sealed files. What is declared counts in full from the beginning, so that no
/// upload that was let begin runs into them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLimits {
    /// Bytes of one file. None at all when it is 0.
    pub per_file: u64,
    /// Bytes of all files of one participant.
    pub per_participant: u64,
    /// Bytes of all files of one room.
    pub per_room: u64,
    /// Bytes of all files on the server.
    pub in_all: u64,
    /// Bytes that stay free on the disk with the files. What the server needs for its calls is
    /// written to the same one.
    pub disk_reserve: u64,
    /// Files of one room, however small.
    pub count_per_room: u64,
    /// How long a file is kept.
    pub kept: Duration,
    /// How long it is kept after everybody has left the room, at most.
    pub kept_after_call: Duration,
    /// How long an upload may stand still.
    pub unfinished: Duration,
    /// How often what is to be deleted is looked for.
    pub swept_every: Duration,
    /// How long one chunk may take to come in.
    pub chunk_within: Duration,
    /// How long a file may be declared of which nothing comes.
    pub unbegun: Duration,
    /// Chunks and answers of one participant that may be on their way at once.
    pub transfers_per_participant: usize,
    /// The same of one room, and of one address (IPv6: one /64): they leave room for others.
    pub transfers_together: usize,
    /// The same of the whole server: each holds a chunk in memory.
    pub transfers: usize,
}

const GIB: u64 = 1 << 30;

impl FileLimits {
    /// What a server takes unless told otherwise.
    pub const DEFAULT: Self = Self {
        per_file: 16 * GIB,
        per_participant: 32 * GIB,
        per_room: 64 * GIB,
        in_all: 256 * GIB,
        disk_reserve: 2 * GIB,
        count_per_room: 2000,
        kept: Duration::from_secs(24 * 3600),
        kept_after_call: Duration::from_secs(3600),
        unfinished: Duration::from_secs(2 * 3600),
        swept_every: Duration::from_secs(30),
        chunk_within: Duration::from_secs(180),
        unbegun: Duration::from_secs(600),
        transfers_per_participant: 16,
        transfers_together: 64,
        transfers: 256,
    };
}

impl Default for FileLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What is declared so far, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) by_participant: u64,
    pub(super) in_room: u64,
    pub(super) files_in_room: u64,
    pub(super) in_all: u64,
    /// Of all, what is not stored yet.
    pub(super) outstanding: u64,
}

impl FileLimits {
    /// Whether one more file has room. `free` is what the disk has left, if it is ours.
    pub(super) fn admit(
        &self,
        file: SealedLength,
        declared: Declared,
        free: Option<u64>,
    ) -> Result<(), Refusal> {
        let bytes = file.get();
        let exceeds = |used: u64, most: u64| used.saturating_add(bytes) > most;
        if self.per_file == 0 {
            return Err(Refusal::SwitchedOff);
        }
        if bytes > self.per_file {
            return Err(Refusal::FileTooLarge {
                most: self.per_file,
            });
        }
        if exceeds(declared.by_participant, self.per_participant) {
            return Err(Refusal::ParticipantQuota {
                most: self.per_participant,
            });
        }
        if exceeds(declared.in_room, self.per_room) || declared.files_in_room >= self.count_per_room
        {
            return Err(Refusal::RoomQuota {
                most: self.per_room,
            });
        }
        if exceeds(declared.in_all, self.in_all) {
            return Err(Refusal::ServerQuota);
        }
        if free.is_some_and(|free| {
            exceeds(declared.outstanding.saturating_add(self.disk_reserve), free)
        }) {
            return Err(Refusal::DiskFull);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_is_kept_to_the_byte_and_named() {
        let limits = FileLimits {
            per_file: 1000,
            per_participant: 2000,
            per_room: 3000,
            in_all: 4000,
            disk_reserve: 500,
            count_per_room: 5,
            ..FileLimits::default()
        };
        let file = SealedLength::new(1000).expect("a length");
        let none = Declared::default();
        let admit = |declared, free| limits.admit(file, declared, free);
        assert_eq!(admit(none, None), Ok(()));
        let larger = SealedLength::new(1001).expect("a length");
        let refused = limits.admit(larger, none, None);
        assert_eq!(refused, Err(Refusal::FileTooLarge { most: 1000 }));
        for (used, refusal) in [
            (
                Declared {
                    by_participant: 1001,
                    ..none
                },
                Refusal::ParticipantQuota { most: 2000 },
            ),
            (
                Declared {
                    in_room: 2001,
                    ..none
                },
                Refusal::RoomQuota { most: 3000 },
            ),
            (
                Declared {
                    files_in_room: 5,
                    ..none
                },
                Refusal::RoomQuota { most: 3000 },
            ),
            (
                Declared {
                    in_all: 3001,
                    ..none
                },
                Refusal::ServerQuota,
            ),
        ] {
            assert_eq!(admit(used, None), Err(refusal));
        }
        let full = Declared {
            by_participant: 1000,
            in_room: 2000,
            files_in_room: 4,
            in_all: 3000,
            outstanding: 0,
        };
        assert_eq!(admit(full, Some(1500)), Ok(()));
        assert_eq!(admit(full, Some(1499)), Err(Refusal::DiskFull));
        let promised = Declared {
            outstanding: 1,
            ..full
        };
        assert_eq!(admit(promised, Some(1500)), Err(Refusal::DiskFull));
        let off = FileLimits {
            per_file: 0,
            ..limits
        };
        assert_eq!(off.admit(file, none, None), Err(Refusal::SwitchedOff));
    }
}
