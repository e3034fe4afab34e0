//! The users of one account who were not come to yet, in some 70 bytes each: an account may have many, and most are let go
//! at first sight. Pure.

use super::observe::Member;
use crate::keys::UserName;
use crate::lifecycle::Exemption;

/// Between the texts of a user. IAM answers in XML, which cannot hold it.
/// <https://www.w3.org/TR/xml/#charsets>
const END: char = '\0';

/// Before the owner, who may be nobody and is not the same as none.
const OWNED: &str = "=";

/// Users by name.
#[derive(Debug, Default)]
pub(super) struct Roster {
    /// Name, path, id and owner of each, and an [`END`] behind each of these.
    texts: String,
    /// How ARNs begin, up to the path: all alike in one account.
    beginnings: Vec<String>,
    users: Vec<User>,
    is_sorted: bool,
    taken: usize,
    /// All before this one are taken.
    first: usize,
}

#[derive(Debug, Clone, Copy)]
struct User {
    /// Where its texts start.
    at: usize,
    /// The number of its ARN's beginning.
    beginning: usize,
    is_exempt: bool,
    is_reader: bool,
    is_taken: bool,
}

impl Roster {
    /// Adds a user; who was listed before under the same name is replaced.
    pub(super) fn add(&mut self, member: &Member) {
        let (name, path) = (member.name().as_str(), member.arn.path());
        let at = self.texts.len();
        for text in [name, path, &member.id] {
            self.texts.push_str(text);
            self.texts.push(END);
        }
        if let Some(owner) = &member.owner {
            self.texts.extend([OWNED, owner]);
        }
        self.texts.push(END);
        let arn = member.arn.as_str();
        let beginning = self.beginning(&arn[..arn.len() - path.len() - name.len()]);
        self.users.push(User {
            at,
            beginning,
            // A list of users tells it for certain.
            is_exempt: member.exemption != Exemption::NotExempt,
            is_reader: member.is_reader,
            is_taken: false,
        });
        self.is_sorted = false;
    }

    fn beginning(&mut self, text: &str) -> usize {
        self.beginnings.iter().position(|known| known == text).unwrap_or_else(|| {
            self.beginnings.push(text.to_owned());
            self.beginnings.len() - 1
        })
    }

    /// A user, taken out or not.
    pub(super) fn get(&mut self, name: &UserName) -> Option<Member> {
        let found = self.position(name)?;
        Some(self.member(self.users[found]))
    }

    /// Takes a user out.
    pub(super) fn take(&mut self, name: &UserName) -> Option<Member> {
        let found = self.position(name)?;
        self.take_at(found)
    }

    fn position(&mut self, name: &UserName) -> Option<usize> {
        self.sort();
        self.users.binary_search_by(|user| self.text(user).cmp(name.as_str())).ok()
    }

    /// Takes all users out, one by one and in order; those whom the caller does not ask for stay.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Member> {
        self.sort();
        std::iter::from_fn(|| {
            while self.first < self.users.len() {
                self.first += 1;
                if let Some(member) = self.take_at(self.first - 1) {
                    return Some(member);
                }
            }
            None
        })
    }

    fn take_at(&mut self, at: usize) -> Option<Member> {
        let user = self.users[at];
        if user.is_taken {
            return None;
        }
        self.users[at].is_taken = true;
        self.taken += 1;
        Some(self.member(user))
    }

    fn member(&self, user: User) -> Member {
        let mut texts = self.texts[user.at..].split(END);
        let mut text = || texts.next().unwrap_or_default();
        let (name, path, id, owner) = (text(), text(), text(), text());
        let arn = format!("{}{path}{name}", self.beginnings[user.beginning]);
        Member {
            arn: arn.parse().expect("the ARN that it was taken from"),
            id: id.to_owned(),
            owner: owner.strip_prefix(OWNED).map(str::to_owned),
            exemption: if user.is_exempt { Exemption::Exempt } else { Exemption::NotExempt },
            is_reader: user.is_reader,
        }
    }

    /// How many users are left.
    pub(super) fn len(&self) -> usize {
        self.users.len() - self.taken
    }

    /// The name of a user.
    fn text(&self, user: &User) -> &str {
        self.texts[user.at..].split(END).next().unwrap_or_default()
    }

    /// By name, of several of one name the last that was added, and in no more memory than that takes. Others do it when it
    /// is needed; it is worth doing when all users are there.
    pub(super) fn sort(&mut self) {
        if self.is_sorted {
            return;
        }
        let mut users = std::mem::take(&mut self.users);
        users.sort_unstable_by(|one, other| self.text(one).cmp(self.text(other)).then(other.at.cmp(&one.at)));
        users.dedup_by(|later, kept| self.text(later) == self.text(kept));
        users.shrink_to_fit();
        self.users = users;
        self.texts.shrink_to_fit();
        self.first = 0;
        self.is_sorted = true;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn member(name: &str, path: &str, owner: Option<&str>, flags: (bool, bool)) -> Member {
        Member {
            arn: format!("arn:aws:iam::111122223333:user{path}{name}").parse().unwrap(),
            id: format!("AIDA{}", name.len()),
            owner: owner.map(str::to_owned),
            exemption: if flags.0 { Exemption::Exempt } else { Exemption::NotExempt },
            is_reader: flags.1,
        }
    }

    #[test]
    fn a_user_who_is_listed_again_is_there_once_and_as_listed_last() {
        let mut roster = Roster::default();
        for path in ["/old/", "/new/"] {
            roster.add(&member("bot", path, None, (false, false)));
            roster.add(&member("a", "/", None, (false, false)));
        }
        let bot = roster.take(&"bot".parse().unwrap()).unwrap();
        assert_eq!((bot.arn.path(), roster.len()), ("/new/", 1));
        assert_eq!(roster.take(&"bot".parse().unwrap()), None, "it was taken");
    }

    proptest! {
        #[test]
        fn every_user_comes_out_once_and_as_it_went_in(
            users in prop::collection::btree_map(
                "[A-Za-z0-9_+=,.@-]{1,9}",
                ("(/[!-.0-~]{1,4}){0,2}/", prop::option::of(".{0,9}".prop_map(|owner| owner.replace(END, ""))), any::<(bool, bool)>()),
                0..9,
            ),
            asked in prop::collection::vec("[A-Za-z0-9_+=,.@-]{1,9}", 0..3),
        ) {
            let mut expected: Vec<Member> =
                users.iter().map(|(name, (path, owner, flags))| member(name, path, owner.as_deref(), *flags)).collect();
            let all = expected.clone();
            let mut roster = Roster::default();
            expected.iter().rev().for_each(|member| roster.add(member));
            for name in users.keys().step_by(2).chain(&asked) {
                let name: UserName = name.parse().unwrap();
                let wanted = expected.iter().position(|member| *member.name() == name).map(|at| expected.remove(at));
                prop_assert_eq!(roster.take(&name), wanted);
                let listed = all.iter().find(|member| *member.name() == name).cloned();
                prop_assert_eq!(roster.get(&name), listed, "taken or not");
                prop_assert_eq!(roster.len(), expected.len());
            }
            let first = roster.take_all().take(2).collect::<Vec<_>>();
            prop_assert_eq!(roster.len(), expected.len() - first.len());
            prop_assert_eq!([first, roster.take_all().collect()].concat(), expected);
            prop_assert_eq!(roster.len(), 0);
        }
    }
}
