//! The date that a notice names: the day of the action, or the first possible day.

use std::fmt;

use chrono::{DateTime, Utc};

/// The day on which an announced action happens. Nothing happens before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoticeDate {
    /// The action happens on this day, in any run of that day.
    On(DateTime<Utc>),
    /// The action happens on this day at the earliest: a limit, another key or an unknown fact may put it off.
    From(DateTime<Utc>),
}

impl NoticeDate {
    /// Returns the beginning of the day, in UTC.
    pub fn at(self) -> DateTime<Utc> {
        let (Self::On(at) | Self::From(at)) = self;
        at
    }

    /// Whether the action happens on the day itself if a run takes place on it.
    pub fn is_exact(self) -> bool {
        matches!(self, Self::On(_))
    }

    /// Returns the same day as a first possible day.
    #[must_use]
    pub fn at_the_earliest(self) -> Self {
        Self::From(self.at())
    }
}

impl fmt::Display for NoticeDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On(at) => write!(f, "on {}", at.date_naive()),
            Self::From(at) => write!(f, "from {} on", at.date_naive()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::time;

    #[test]
    fn on_aws_a2_a_date_is_exact_or_the_first_possible() {
        let date = NoticeDate::On(time("2026-11-29T00:00:00Z"));
        assert_eq!(date.to_string(), "on 2026-11-29");
        assert_eq!(date.at_the_earliest().to_string(), "from 2026-11-29 on");
        assert!(date.is_exact() && !date.at_the_earliest().is_exact());
        assert_eq!(date.at(), date.at_the_earliest().at());
    }
}
