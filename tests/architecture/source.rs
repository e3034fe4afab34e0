//! Rust source as the checks read it: tokens and comments, and which of the tokens are test code.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A word, a path separator `::`, or one other character. The content of a literal is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// The token as it is written; `""` for a string or character literal.
    pub(super) text: String,
    /// The line on which it begins, from 1.
    pub(super) line: usize,
}

/// A comment on one line; a block comment gives one for each of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Comment {
    /// The text behind `//`, `///` or `//!`.
    pub(super) text: String,
    /// The line, from 1.
    pub(super) line: usize,
    /// Whether it is the documentation of the file, `//!`.
    pub(super) of_file: bool,
}

/// The root of the package.
pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file of the package.
pub(super) fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files with one of these extensions in a folder and in the folders below it, as paths from the package's root.
pub(super) fn files(folder: &str, extensions: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        {
            let entry = entry.expect("an entry of a folder");
            let path = folder.join(entry.file_name());
            if entry.file_type().expect("a type").is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| extensions.iter().any(|extension| it == *extension)) {
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

/// Splits source into its tokens and its comments.
pub(super) fn split(source: &str) -> (Vec<Token>, Vec<Comment>) {
    let chars: Vec<char> = source.chars().collect();
    let (mut tokens, mut comments) = (Vec::new(), Vec::new());
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let begin = at;
        let text = match (chars[at], chars.get(at + 1).copied()) {
            ('/', Some('/')) => {
                at = find(&chars, at, |rest| rest[0] == '\n');
                comments.push(comment(&chars[begin..at], line));
                continue;
            }
            ('/', Some('*')) => {
                at = find(&chars, at + 2, |rest| rest.starts_with(&['*', '/'])) + 2;
                let lines: String = chars[begin..at.min(chars.len())].iter().collect();
                let texts = lines.lines().map(|text| text.trim_start_matches(['/', '*', ' ']).to_owned());
                comments.extend(texts.zip(line..).map(|(text, line)| Comment { text, line, of_file: false }));
                line += lines.matches('\n').count();
                continue;
            }
            (it, _) if it.is_whitespace() => {
                line += usize::from(it == '\n');
                at += 1;
                continue;
            }
            (it, _) if is_word(it) && literal_end(&chars, at).is_none() => {
                at = find(&chars, at, |rest| !is_word(rest[0]));
                chars[begin..at].iter().collect()
            }
            (':', Some(':')) => {
                at += 2;
                "::".to_owned()
            }
            (it, _) => {
                if let Some(end) = literal_end(&chars, at) {
                    at = end;
                    String::new()
                } else {
                    at += 1;
                    it.to_string()
                }
            }
        };
        tokens.push(Token { text, line });
        line += chars[begin..at].iter().filter(|it| **it == '\n').count();
    }
    (tokens, comments)
}

fn is_word(it: char) -> bool {
    it.is_alphanumeric() || it == '_'
}

/// The first position from `at` on whose rest satisfies the condition, or the end.
fn find(chars: &[char], at: usize, condition: impl Fn(&[char]) -> bool) -> usize {
    (at..chars.len()).find(|at| condition(&chars[*at..])).unwrap_or(chars.len())
}

fn comment(chars: &[char], line: usize) -> Comment {
    let text: String = chars.iter().collect();
    let of_file = text.starts_with("//!");
    Comment { text: text.trim_start_matches(['/', '!']).trim().to_owned(), line, of_file }
}

/// The end of the string or character literal that begins here; `None` if none does.
fn literal_end(chars: &[char], at: usize) -> Option<usize> {
    let prefix = chars[at..].iter().take_while(|it| matches!(it, 'b' | 'r' | 'c')).count();
    let is_raw = chars[at..at + prefix].contains(&'r');
    let hashes = if is_raw { chars[at + prefix..].iter().take_while(|it| **it == '#').count() } else { 0 };
    let quote = at + prefix + hashes;
    match chars.get(quote)? {
        '"' if is_raw => {
            let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            Some(find(chars, quote + 1, |rest| rest.starts_with(&close)) + close.len())
        }
        '"' => Some(closing(chars, quote, '"')),
        // A lifetime has no closing quote.
        '\'' if hashes == 0 && (chars.get(quote + 1) == Some(&'\\') || chars.get(quote + 2) == Some(&'\'')) => {
            Some(closing(chars, quote, '\''))
        }
        _ => None,
    }
}

/// The position after the quote that closes the literal, which may hold escaped quotes.
fn closing(chars: &[char], quote: usize, mark: char) -> usize {
    let mut at = quote + 1;
    while at < chars.len() && chars[at] != mark {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// Whether the tokens at a position are these.
pub(super) fn is_at(tokens: &[Token], at: usize, wanted: &[&str]) -> bool {
    tokens.len() >= at + wanted.len() && tokens[at..].iter().zip(wanted).all(|(token, wanted)| token.text == *wanted)
}

/// The position after the bracket that closes the one at `open`.
pub(super) fn after_bracket(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// The ranges of tokens that are compiled for tests only: each item behind `#[cfg(test)]` or `#[cfg(all(test, …))]`.
pub(super) fn test_code(tokens: &[Token]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let begin = at;
        let of_tests = is_at(tokens, at, &["#", "[", "cfg", "(", "test", ")"])
            || is_at(tokens, at, &["#", "[", "cfg", "(", "all", "(", "test"]);
        if of_tests {
            while is_at(tokens, at, &["#", "["]) {
                at = after_bracket(tokens, at + 1);
            }
            at = after_item(tokens, at);
            ranges.push(begin..at);
        } else {
            at += 1;
        }
    }
    ranges
}

/// The position after the item that begins here: behind its semicolon or its block.
fn after_item(tokens: &[Token], begin: usize) -> usize {
    let ends_with_semicolon = ["use", "const", "static", "let", "type"];
    let mut at = begin;
    let keyword = tokens[begin..].iter().take(6).find(|token| {
        ends_with_semicolon.contains(&token.text.as_str())
            || ["fn", "mod", "impl", "struct", "enum", "trait"].contains(&token.text.as_str())
    });
    let to_semicolon = keyword.is_some_and(|token| ends_with_semicolon.contains(&token.text.as_str()));
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            ";" => return at + 1,
            "{" if !to_semicolon => return after_bracket(tokens, at),
            // A field, a variant or an arm has neither.
            "," if keyword.is_none() => return at + 1,
            "(" | "[" | "{" => at = after_bracket(tokens, at),
            _ => at += 1,
        }
    }
    at
}

/// One module of `src`: a file.
#[derive(Debug, Clone)]
pub(super) struct Module {
    /// The file's path from the package's root.
    pub(super) path: String,
    /// Its tokens, without test code.
    pub(super) tokens: Vec<Token>,
    /// Its tokens in test code.
    pub(super) tests: Vec<Token>,
    /// Its comments, those of test code among them.
    pub(super) comments: Vec<Comment>,
    /// Whether the whole file is compiled for tests only.
    pub(super) is_test: bool,
}

impl Module {
    pub(super) fn read(path: &str, source: &str, is_test: bool) -> Self {
        let (tokens, comments) = split(source);
        let ranges = test_code(&tokens);
        let (tests, tokens) =
            tokens.into_iter().enumerate().partition::<Vec<_>, _>(|(at, _)| ranges.iter().any(|it| it.contains(at)));
        let plain = |tokens: Vec<(usize, Token)>| tokens.into_iter().map(|(_, token)| token).collect();
        Self { path: path.to_owned(), tokens: plain(tokens), tests: plain(tests), comments, is_test }
    }

    /// The names of the modules that a list of tokens declares as files.
    fn declared(tokens: &[Token]) -> impl Iterator<Item = &str> {
        tokens.windows(3).filter(|it| it[0].text == "mod" && it[2].text == ";").map(|it| it[1].text.as_str())
    }
}

/// The modules of the library by their paths, such as `notify::deliver`; the root is the empty path.
pub(super) type Modules = BTreeMap<String, Module>;

/// Reads the library by following its `mod` declarations from `src/lib.rs`.
pub(super) fn library() -> Modules {
    let mut modules = Modules::new();
    let mut wanted = vec![(String::new(), "src/lib.rs".to_owned(), false)];
    while let Some((name, path, is_test)) = wanted.pop() {
        let module = Module::read(&path, &text(&path), is_test);
        let folder = match path.strip_suffix("/lib.rs").or_else(|| path.strip_suffix("/mod.rs")) {
            Some(folder) => folder.to_owned(),
            None => path.trim_end_matches(".rs").to_owned(),
        };
        for (tokens, is_test) in [(&module.tokens, is_test), (&module.tests, true)] {
            for child in Module::declared(tokens) {
                let file = format!("{folder}/{child}.rs");
                let file = if root().join(&file).exists() { file } else { format!("{folder}/{child}/mod.rs") };
                wanted.push((join(&name, child), file, is_test));
            }
        }
        modules.insert(name, module);
    }
    modules
}

/// The path of a module's child or item.
pub(super) fn join(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
}

/// A library of small files for the tests of the checks: modules by their paths, with their source.
pub(super) fn fixture(files: &[(&str, &str)]) -> Modules {
    let root = [("", "")];
    let all = root.iter().chain(files);
    all.map(|(name, source)| ((*name).to_owned(), Module::read(&format!("{name}.rs"), source, false))).collect()
}

#[test]
fn source_is_split_into_tokens_and_comments() {
    let source = "//! Doc.\nuse a::b; // why\nlet s = \"// no \\\" comment\"; let c = '\"'; let r = r#\"a \" b\"#;\nfn f<'a>() {}\n";
    let (tokens, comments) = split(source);
    let texts: Vec<&str> = tokens.iter().map(|token| token.text.as_str()).collect();
    assert_eq!(texts[..5], ["use", "a", "::", "b", ";"]);
    assert_eq!(texts[5..20], ["let", "s", "=", "", ";", "let", "c", "=", "", ";", "let", "r", "=", "", ";"]);
    assert_eq!(texts[20..], ["fn", "f", "<", "'", "a", ">", "(", ")", "{", "}"]);
    assert_eq!(comments.iter().map(|it| (it.text.as_str(), it.line)).collect::<Vec<_>>(), [("Doc.", 1), ("why", 2)]);
    assert!(comments[0].of_file && !comments[1].of_file);
    assert_eq!(tokens.last().map(|token| token.line), Some(4));
}

#[test]
fn test_code_is_set_apart() {
    let source = "fn a() {} #[cfg(test)] mod tests { fn b() {} } #[cfg(test)] use c::{d, e}; #[cfg(all(test, x))] mod f; struct G;";
    let module = Module::read("x.rs", source, false);
    let texts: Vec<&str> = module.tokens.iter().map(|token| token.text.as_str()).collect();
    assert_eq!(texts, ["fn", "a", "(", ")", "{", "}", "struct", "G", ";"]);
    assert!(module.tests.iter().any(|token| token.text == "e") && module.tests.iter().any(|token| token.text == "f"));
}
