//! Lists come in pages.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;

const MOST: u16 = 100;
const USUAL: u16 = 50;

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// How many at most.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u16>,
    /// What the page before had as `next`.
    #[param(max_length = 64)]
    after: Option<String>,
}

impl Paging {
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        limit(self.limit)
    }

    pub(super) fn after(&self) -> Result<Option<String>, Problem> {
        match &self.after {
            Some(after) if after.chars().count() > 64 => {
                Err(Problem::unfit("after is what the page before had as next"))
            }
            after => Ok(after.clone()),
        }
    }
}

/// How many are wanted.
pub(super) fn limit(limit: Option<u16>) -> Result<usize, Problem> {
    match limit.unwrap_or(USUAL) {
        limit @ 1..=MOST => Ok(limit.into()),
        _ => Err(Problem::unfit("limit is a number from 1 to 100")),
    }
}

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    items: Vec<T>,
    /// What to ask for as `after` to have the next part; null at the end.
    next: Option<String>,
}

impl<T> Page<T> {
    /// Of what was found when one more than `limit` was looked for.
    pub(super) fn cut(mut items: Vec<T>, limit: usize, key: impl FnOnce(&T) -> String) -> Self {
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| has_more).map(key);
        Self { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_the_next_one_if_there_is_more() {
        let cut = |found: &[u8], limit| {
            let page = Page::cut(found.to_vec(), limit, ToString::to_string);
            (page.items, page.next)
        };
        assert_eq!(cut(&[1, 2, 3], 2), (vec![1, 2], Some("2".to_owned())));
        assert_eq!(cut(&[1, 2], 2), (vec![1, 2], None));
        assert_eq!(cut(&[], 2), (vec![], None));
    }
}
