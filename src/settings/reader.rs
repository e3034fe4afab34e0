//! Variables → checked values and a list of mistakes. Pure.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::format::is_name_byte;
use crate::redact;

/// Every mistake in the settings, each with the variable, its value and the allowed values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct InvalidSettings {
    mistakes: Vec<Mistake>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mistake {
    variable: &'static str,
    /// Empty if the variable is not set.
    value: String,
    allowed: String,
}

impl InvalidSettings {
    /// Returns the wrong variables in the order in which they are read.
    pub fn variables(&self) -> impl Iterator<Item = &'static str> {
        self.mistakes.iter().map(|mistake| mistake.variable)
    }
}

impl InvalidSettings {
    /// Returns `read` with further mistakes: wrong values of variables that are no settings, and what is allowed.
    pub(crate) fn add_to<T>(
        read: Result<T, Self>,
        wrong: impl IntoIterator<Item = (&'static str, String)>,
        allowed: &str,
    ) -> Result<T, Self> {
        let wrong = wrong.into_iter().map(|(variable, value)| Mistake {
            variable,
            value: redact::secret_like(&value),
            allowed: allowed.to_owned(),
        });
        let (read, mut mistakes) = match read {
            Ok(read) => (Some(read), Vec::new()),
            Err(Self { mistakes }) => (None, mistakes),
        };
        mistakes.extend(wrong);
        read.filter(|_| mistakes.is_empty()).ok_or(Self { mistakes })
    }
}

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} wrong setting(s):", self.mistakes.len())?;
        for Mistake { variable, value, allowed } in &self.mistakes {
            match value.as_str() {
                "" => write!(f, " {variable} is not set; set it to {allowed}.")?,
                value => write!(f, " {variable} is `{value}`; allowed: {allowed}.")?,
            }
        }
        Ok(())
    }
}

/// Reads variables and collects the mistakes in them.
pub(super) struct SettingsReader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    mistakes: Vec<Mistake>,
}

impl<'a> SettingsReader<'a> {
    /// Reads through `lookup`, which returns the value of a variable.
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, mistakes: Vec::new() }
    }

    /// Fails with every mistake that was collected.
    pub(super) fn finish(self) -> Result<(), InvalidSettings> {
        if self.mistakes.is_empty() { Ok(()) } else { Err(InvalidSettings { mistakes: self.mistakes }) }
    }

    /// Records a mistake. An empty value means that the variable is not set.
    pub(super) fn mistake(&mut self, variable: &'static str, value: &str, allowed: impl Into<String>) {
        // Somebody may have put a secret into the wrong variable.
        self.mistakes.push(Mistake { variable, value: redact::secret_like(value), allowed: allowed.into() });
    }

    /// Returns a value without white space around it. An empty variable counts as not set, because a template cannot
    /// omit a variable.
    pub(super) fn value(&self, variable: &str) -> Option<String> {
        (self.lookup)(variable).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    pub(super) fn is_unset(&self, variable: &str) -> bool {
        self.value(variable).is_none()
    }

    /// Whether the variable is set to an empty text.
    pub(super) fn is_set_to_nothing(&self, variable: &str) -> bool {
        (self.lookup)(variable).is_some_and(|value| value.trim().is_empty())
    }

    /// Returns a value of a type that checks itself, if the variable is set.
    pub(super) fn optional<T: FromStr>(&mut self, variable: &'static str, allowed: &'static str) -> Option<T> {
        let value = self.value(variable)?;
        let parsed = value.parse().ok();
        if parsed.is_none() {
            self.mistake(variable, &value, allowed);
        }
        parsed
    }

    /// As [`SettingsReader::optional`]; a variable that is not set is a mistake.
    pub(super) fn required<T: FromStr>(&mut self, variable: &'static str, allowed: &'static str) -> Option<T> {
        if self.is_unset(variable) {
            self.mistake(variable, "", allowed);
        }
        self.optional(variable, allowed)
    }

    /// Returns a text that `fits`, if the variable is set.
    pub(super) fn text(
        &mut self,
        variable: &'static str,
        fits: fn(&str) -> bool,
        allowed: &'static str,
    ) -> Option<String> {
        let value = self.value(variable)?;
        if !fits(&value) {
            self.mistake(variable, &value, allowed);
            return None;
        }
        Some(value)
    }

    /// Returns `true` or `false`, in any capitals.
    pub(super) fn flag(&mut self, variable: &'static str, default: bool) -> bool {
        match self.value(variable).map(|value| value.to_ascii_lowercase()).as_deref() {
            None => default,
            Some("true") => true,
            Some("false") => false,
            Some(other) => {
                self.mistake(variable, other, "true or false");
                default
            }
        }
    }

    /// Returns a whole number in `range`.
    pub(super) fn number(&mut self, variable: &'static str, default: i64, range: RangeInclusive<i64>) -> i64 {
        let Some(value) = self.value(variable) else { return default };
        match value.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                self.mistake(variable, &value, format!("a whole number from {} to {}", range.start(), range.end()));
                default
            }
        }
    }

    /// Returns the name of something in IAM, of at most `longest` characters.
    pub(super) fn name(&mut self, variable: &'static str, default: &str, longest: usize) -> String {
        let Some(value) = self.value(variable) else { return default.to_owned() };
        if value.len() > longest || !value.bytes().all(is_name_byte) {
            self.mistake(variable, &value, format!("1 to {longest} characters of A-Z a-z 0-9 _ + = , . @ -"));
        }
        value
    }
}
