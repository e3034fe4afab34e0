//! Direct reads of the model's state, where a view of a whole user or secret would be too slow.

use super::cast::Person;
use crate::keys::{SecretName, UserRef};
use crate::model::{CURRENT, Cloud, Plain, Secret, SecretLocation, Version, World};
use crate::rehearsal::deployment::PRIMARY_ACCOUNT;

/// The id of the current key; `None` for a placeholder or a value of another form.
pub(super) fn key_of_readers(cloud: &Cloud, person: &Person) -> Option<String> {
    let world = cloud.world();
    let place = SecretLocation { account: PRIMARY_ACCOUNT.to_owned(), name: person.secret() };
    world.secret_at(&place).and_then(current_key).map(str::to_owned)
}

/// The secret of a user.
pub(super) fn secret_of<'w>(world: &'w World, account: &str, user: &str) -> Option<&'w Secret> {
    let user = UserRef { account: account.parse().ok()?, name: user.parse().ok()? };
    let place = SecretLocation { account: PRIMARY_ACCOUNT.to_owned(), name: SecretName::of(&user).to_string() };
    world.secret_at(&place)
}

/// The key in the current value, unless that is a placeholder.
pub(super) fn current_key(secret: &Secret) -> Option<&str> {
    secret.staged(CURRENT).and_then(key_in)
}

/// The key in a version's value, unless that is a placeholder.
pub(super) fn key_in(version: &Version) -> Option<&str> {
    let Some(Plain::Text(text)) = &version.value else { return None };
    let (_, rest) = text.split_once("\"AccessKeyId\":\"")?;
    let (id, rest) = rest.split_once('"')?;
    (rest.contains("SecretAccessKey") || text.contains("\"SecretAccessKey\"")).then_some(id)
}

/// Whether that key was current at some time.
pub(super) fn was_readers(secret: &Secret, key: &str) -> bool {
    secret.versions.iter().any(|version| version.was_current && key_in(version) == Some(key))
}

/// How many users an account has.
pub(super) fn user_count(cloud: &Cloud, account: &str) -> usize {
    cloud.world().accounts.get(account).map_or(0, |account| account.users.len())
}
