//! Widths and beginnings of comments, and lengths of test names.

use super::pages::{pages, prose};
use super::source::{self, Comment, Token, is_at};

/// The widest line with a comment, in columns.
const WIDEST: usize = 120;

/// The longest name of a test, in characters.
const LONGEST_NAME: usize = 60;

/// Words with which no sentence begins: a reader has to keep them in mind until the verb comes.
const INVERTED: [&str; 7] = ["What", "Who", "Whoever", "So many", "So long", "Of which", "Whose"];
/// "That" is inverted only before one of these: "That the key …", but not "That key …".
const AFTER_THAT: [&str; 6] = ["the", "a", "an", "it", "is", "no"];

/// The lines with a comment that are too wide. The row of a table and a link cannot be broken, so their width is free.
fn wide(source: &str, comments: &[Comment]) -> Vec<usize> {
    let lines: Vec<&str> = source.lines().collect();
    let width = |line: usize| lines.get(line - 1).map_or(0, |line| line.chars().count());
    let breaks = |text: &str| !text.starts_with('|') && !text.starts_with("<https://");
    comments.iter().filter(|it| breaks(&it.text)).map(|it| it.line).filter(|it| width(*it) > WIDEST).collect()
}

/// Whether a sentence in the text begins the wrong way round.
fn is_inverted(text: &str) -> bool {
    let begins = |sentence: &str| {
        let after = |words: &str| sentence.strip_prefix(words).is_some_and(|rest| rest.starts_with(' '));
        INVERTED.iter().any(|it| after(it)) || AFTER_THAT.iter().any(|it| after(&format!("That {it}")))
    };
    begins(text) || text.match_indices(". ").any(|(at, _)| begins(&text[at + 2..]))
}

/// The names of the tests in these tokens, with their lines.
fn tests(tokens: &[Token]) -> Vec<(&str, usize)> {
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let is_test =
            is_at(tokens, at, &["#", "[", "test", "]"]) || is_at(tokens, at, &["#", "[", "tokio", "::", "test"]);
        if is_test && let Some(name) = tokens[at..].iter().skip_while(|token| token.text != "fn").nth(1) {
            found.push((name.text.as_str(), name.line));
        }
    }
    found
}

/// Every Rust file of the package.
fn rust() -> Vec<(String, String)> {
    let folders = ["src", "bootstrap", "benches", "tests"];
    let paths = folders.into_iter().flat_map(|folder| source::files(folder, &["rs"]));
    paths.map(|path| (path.clone(), source::text(&path))).collect()
}

#[test]
fn no_comment_is_wider_than_120_columns() {
    let found: Vec<String> = rust()
        .iter()
        .flat_map(|(path, text)| {
            wide(text, &source::split(text).1).into_iter().map(move |line| format!("{path}:{line}"))
        })
        .collect();
    assert!(found.is_empty(), "wider than {WIDEST} columns:\n{}", found.join("\n"));
}

#[test]
fn sentences_of_comments_begin_with_their_subject() {
    let mut found = Vec::new();
    for (path, text) in rust() {
        let comments = source::split(&text).1;
        let inverted = comments.iter().filter(|it| is_inverted(&it.text));
        found.extend(inverted.map(|it| format!("{path}:{}: {}", it.line, it.text)));
    }
    assert!(found.is_empty(), "{} sentences begin the wrong way round:\n{}", found.len(), found.join("\n"));
}

/// A line without what Markdown and a numbered list put before its first word.
fn without_mark(line: &str) -> &str {
    line.trim_start_matches(|it: char| it.is_ascii_digit() || " .-*>\"".contains(it))
}

#[test]
fn sentences_of_pages_and_mails_begin_with_their_subject() {
    let mails = source::files("src/notify/message/snapshots", &["snap"]).into_iter();
    let mails = mails.filter(|path| path.ends_with(".txt.snap")).map(|path| (path.clone(), source::text(&path)));
    let mut found = Vec::new();
    for (path, text) in pages().into_iter().chain(mails) {
        // A heading may be a question or name its subject.
        let lines = prose(&text).filter(|(_, line)| !line.starts_with('#') && !line.ends_with(':'));
        let inverted = lines.filter(|(_, line)| is_inverted(without_mark(line)));
        found.extend(inverted.map(|(at, line)| format!("{path}:{at}: {line}")));
    }
    assert!(found.is_empty(), "{} sentences begin the wrong way round:\n{}", found.len(), found.join("\n"));
}

#[test]
fn names_of_tests_have_up_to_60_characters() {
    let mut found = Vec::new();
    for (path, text) in rust() {
        let tokens = source::split(&text).0;
        let long = tests(&tokens).into_iter().filter(|(name, _)| name.len() > LONGEST_NAME);
        found.extend(long.map(|(name, line)| format!("{path}:{line}: {name}")));
    }
    assert!(found.is_empty(), "{} names are longer than {LONGEST_NAME} characters:\n{}", found.len(), found.join("\n"));
}

#[test]
fn a_wide_comment_is_found() {
    let (right, wide_by_one) = (format!("// {}", "é".repeat(117)), format!("    /// {}", "x".repeat(113)));
    let source = format!(
        "{right}\n{wide_by_one}\n//! | {wide_by_one}\n// <https://{wide_by_one}>\nlet s = \"// {}\";\n",
        "x".repeat(200)
    );
    assert_eq!(wide(&source, &source::split(&source).1), [2]);
}

#[test]
fn an_inverted_sentence_is_found() {
    for text in ["What is left", "Done. Whoever asks", "That the key", "So many users", "a. That is no b"] {
        assert!(is_inverted(text), "{text}");
    }
    for text in ["That key", "Whatever", "What", "It is what", "e.g. that is", "Of course"] {
        assert!(!is_inverted(text), "{text}");
    }
    assert!(is_inverted(without_mark("12. **What is left**")) && !is_inverted(without_mark("- `What`")));
}

#[test]
fn the_names_of_tests_are_read() {
    let source =
        "#[test] fn a() {} #[tokio::test(start_paused = true)] async fn b() {} fn c() {} #[test] #[ignore] fn d() {}";
    let tokens = source::split(source).0;
    assert_eq!(tests(&tokens).iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["a", "b", "d"]);
}
