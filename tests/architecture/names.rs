//! One meaning for each name of a type.

use std::collections::BTreeMap;

use super::source::{self, Modules, Token};

/// The names of the types that tokens declare, those inside functions apart.
fn types(tokens: &[Token]) -> Vec<&str> {
    let mut found = Vec::new();
    let mut in_functions = 0;
    let mut depth = 0;
    for pair in tokens.windows(2) {
        let (here, next) = (pair[0].text.as_str(), pair[1].text.as_str());
        match here {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                if depth < in_functions {
                    in_functions = 0;
                }
            }
            "fn" | "impl" if in_functions == 0 => in_functions = depth + 1,
            // A declaration without a block, such as a trait's method.
            ";" if in_functions == depth + 1 => in_functions = 0,
            "struct" | "enum" | "union" | "trait" | "type"
                if in_functions == 0 && next.starts_with(char::is_uppercase) =>
            {
                found.push(next);
            }
            _ => {}
        }
    }
    found
}

/// The names that more than one file declares, with the files.
fn repeated(modules: &Modules) -> Vec<String> {
    let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for module in modules.values().filter(|module| !module.is_test) {
        for name in types(&module.tokens) {
            places.entry(name).or_default().push(&module.path);
        }
    }
    let repeated = places.into_iter().filter(|(_, files)| files.len() > 1);
    repeated.map(|(name, files)| format!("{name}: {}", files.join(", "))).collect()
}

#[test]
fn no_type_name_has_two_meanings() {
    let found = repeated(&source::library());
    assert!(found.is_empty(), "{} names are declared more than once:\n{}", found.len(), found.join("\n"));
}

#[test]
fn a_repeated_name_is_found() {
    let files = [
        (
            "a",
            "pub struct Reader<'a>(&'a str); impl X for Reader<'_> { type Item = u8; fn f() { struct Local; } } enum Last {}",
        ),
        ("b", "enum Reader {} trait Next { type Item; fn g(); } #[cfg(test)] mod tests { struct Last; }"),
        ("c", "fn h() { struct Next; }"),
    ];
    assert_eq!(repeated(&source::fixture(&files)), ["Reader: a.rs, b.rs"]);
    let names = types(&source::split(files[1].1).0).iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    assert_eq!(names, ["Reader", "Next", "Item", "Last"]);
}
