//! The name of a bucket.

use std::{fmt, str::FromStr};

/// A place in an S3-compatible store: `s3://BUCKET/PREFIX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// The bucket.
    pub name: String,
    /// What the names of all objects begin with; may be empty.
    pub prefix: String,
}

/// Not the name of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it has to be s3://BUCKET or s3://BUCKET/PREFIX")]
pub struct InvalidBucket;

impl FromStr for Bucket {
    type Err = InvalidBucket;

    fn from_str(text: &str) -> Result<Self, InvalidBucket> {
        let place = text.strip_prefix("s3://").ok_or(InvalidBucket)?;
        let (name, prefix) = place.split_once('/').unwrap_or((place, ""));
        // As Amazon allows them.
        let is_name = (3..=63).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b));
        if !is_name {
            return Err(InvalidBucket);
        }
        Ok(Self {
            name: name.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        write!(f, "s3://{}{slash}{}", self.name, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_named_with_or_without_a_prefix() {
        for (text, name, prefix) in [
            ("s3://calls", "calls", ""),
            ("s3://calls/", "calls", ""),
            (
                "s3://calls.example/files/of/us/",
                "calls.example",
                "files/of/us",
            ),
        ] {
            let bucket: Bucket = text.parse().expect("a bucket");
            assert_eq!(
                (bucket.name.as_str(), bucket.prefix.as_str()),
                (name, prefix)
            );
            assert_eq!(bucket.to_string().parse(), Ok(bucket));
        }
        for text in [
            "calls",
            "s3://",
            "s3:///x",
            "http://calls",
            "s3://Calls",
            "s3://a b/c",
        ] {
            assert_eq!(text.parse::<Bucket>(), Err(InvalidBucket), "{text}");
        }
    }
}
