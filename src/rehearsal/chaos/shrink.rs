//! Shortens a story that breaks a rule: first to one user, then to fewer and fewer acts, as long as the same rule
//! breaks.

use super::story::{Story, StoryEntry, Whom};
use super::trace::Trace;
use super::{FoundViolation, live_alone};

/// Steps of all runs of the search together, which take some ten seconds.
const MOST_STEPS: u64 = 40_000;

/// The size of the shortened story, its violation, and the runs of the search.
pub(super) struct Shrunk {
    pub(super) entries: usize,
    pub(super) found: FoundViolation,
    pub(super) runs: usize,
}

struct Search {
    letter: char,
    runs: usize,
    steps: u64,
}

impl Search {
    /// Runs the story. Returns its violation if it breaks the same rule.
    fn breaks(&mut self, story: &Story) -> Option<FoundViolation> {
        self.runs += 1;
        match live_alone(story, None) {
            Ok(counts) => {
                self.steps += counts.steps;
                None
            }
            Err(found) => {
                self.steps += found.counts.steps;
                Some(*found).filter(|found| found.violation.invariant == self.letter)
            }
        }
    }

    fn is_tired(&self) -> bool {
        self.steps >= MOST_STEPS
    }
}

/// Searches for a shorter story that breaks the same rule as `story`.
pub(super) fn shrink(story: &Story, found: &FoundViolation) -> Shrunk {
    let mut search = Search { letter: found.violation.invariant, runs: 0, steps: 0 };
    let mut best = until(story, found);
    if let Some(alone) = only(&best, found)
        && let Some(found) = search.breaks(&alone)
    {
        best = until(&alone, &found);
    }
    let mut size = best.entries.len().div_ceil(2).max(1);
    while !search.is_tired() {
        let (shorter, helped) = pass(&mut search, best, size);
        best = shorter;
        if size == 1 && !helped {
            break;
        }
        size = if helped { size } else { size.div_ceil(2) }.min(best.entries.len()).max(1);
    }
    let told = live_alone(&best, Some(Trace::default())).err().map_or_else(|| found.clone(), |found| *found);
    Shrunk { entries: best.entries.len(), found: told, runs: search.runs }
}

/// Leaves out `size` entries at a time, wherever the rule still breaks without them. Returns whether that was possible.
fn pass(search: &mut Search, mut best: Story, size: usize) -> (Story, bool) {
    let mut helped = false;
    let mut end = best.entries.len();
    while end > 0 && !search.is_tired() {
        let start = end.saturating_sub(size);
        let mut entries: Vec<StoryEntry> = best.entries[..start].to_vec();
        entries.extend(
            best.entries[start..]
                .iter()
                .enumerate()
                .filter(|(n, it)| start + n >= end || it.act.is_of_calm())
                .map(|(_, it)| it.clone()),
        );
        if entries.len() == best.entries.len() {
            end = start;
            continue;
        }
        let shorter = Story { entries, ..best.clone() };
        if let Some(found) = search.breaks(&shorter) {
            (best, helped) = (until(&shorter, &found), true);
            end = start.min(best.entries.len());
        } else {
            end = start;
        }
    }
    (best, helped)
}

/// The story up to the first entry after the violation. A rotation runs while the clock passes to that entry, so the
/// violation would not happen without it.
fn until(story: &Story, found: &FoundViolation) -> Story {
    let mut story = story.clone();
    let before = story.entries.partition_point(|entry| entry.at <= found.at);
    story.entries.truncate(before + 1);
    story
}

/// The story of the violation's user alone; `None` if the violation is about no single user.
fn only(story: &Story, found: &FoundViolation) -> Option<Story> {
    let (account, name) = &found.who;
    let number = story.people.iter().position(|person| person.account == *account && person.name == *name)?;
    let entries = story.entries.iter().filter(|entry| entry.whom == Whom::Shard || entry.whom == Whom::User(number));
    let entries = entries.cloned().map(|entry| match entry.whom {
        Whom::User(_) => StoryEntry { whom: Whom::User(0), ..entry },
        Whom::Shard => entry,
    });
    Some(Story { people: vec![story.people[number].clone()], entries: entries.collect(), ..story.clone() })
}
