//! Points in time as operators read them: whole seconds, in UTC (RFC 3339).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::{Serialize, Serializer};

/// Seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(i64);

impl Moment {
    pub(crate) fn now() -> Self {
        Self::of(SystemTime::now())
    }

    pub(crate) fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }

    pub(crate) fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add_unsigned(wait.as_secs()))
    }

    pub(crate) fn before(self, wait: Duration) -> Self {
        Self(self.0.saturating_sub_unsigned(wait.as_secs()))
    }

    pub(crate) const fn seconds(self) -> i64 {
        self.0
    }

    pub(crate) fn text(self) -> String {
        let since = Duration::from_secs(u64::try_from(self.0).unwrap_or_default());
        // The year 9999 is the last that this format has.
        let since = since.min(Duration::from_secs(253_402_300_799));
        humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl ToSql for Moment {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for Moment {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_reads_as_the_standard_wants_it() {
        let moment = Moment(1_700_000_000);
        assert_eq!(moment.text(), "2023-11-14T22:13:20Z");
        assert_eq!(
            moment.after(Duration::from_secs(60)).seconds(),
            1_700_000_060
        );
        assert_eq!(Moment(i64::MAX).text(), "9999-12-31T23:59:59Z");
    }
}
