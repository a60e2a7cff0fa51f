//! How values are written in scenarios.

/// Times, as in “1m 30s”.
pub(super) mod duration {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(in crate::scenario) fn serialize<S: Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }

    pub(in crate::scenario) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map_err(|error| {
            D::Error::custom(format!("“{text}”: {error}; give for instance \"10s\""))
        })
    }
}

/// The same, or nothing.
pub(super) mod optional_duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize as _, Serializer};

    #[derive(serde::Serialize, Deserialize)]
    struct Spelt(#[serde(with = "super::duration")] Duration);

    pub(in crate::scenario) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        duration.map(Spelt).serialize(serializer)
    }

    pub(in crate::scenario) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Spelt>::deserialize(deserializer)?.map(|Spelt(duration)| duration))
    }
}

/// Sizes, as in “640x360”.
pub(super) mod size {
    use conclave_protocol::control::PixelSize;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(in crate::scenario) fn serialize<S: Serializer>(
        size: &PixelSize,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}x{}", size.width, size.height))
    }

    pub(in crate::scenario) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<PixelSize, D::Error> {
        let text = String::deserialize(deserializer)?;
        let size = text.split_once('x').and_then(|(width, height)| {
            let (width, height) = (width.trim().parse().ok()?, height.trim().parse().ok()?);
            (width > 0 && height > 0).then_some(PixelSize { width, height })
        });
        size.ok_or_else(|| {
            D::Error::custom(format!(
                "“{text}” is no size; give for instance \"640x360\""
            ))
        })
    }
}

/// Anything that is made from a text and made a text.
pub(super) mod text {
    use std::{fmt::Display, str::FromStr};

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(in crate::scenario) fn serialize<T: Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in crate::scenario) fn deserialize<'de, T, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
    {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}
