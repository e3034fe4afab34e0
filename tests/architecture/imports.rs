//! Imports between modules: the table in `src/lib.rs`, circles, and pure modules.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{self, Module, Modules, Token, after_bracket, join};

/// A path that a module's code names, as its segments: `["crate", "keys", "KeyId"]`.
type Path = Vec<String>;

/// A `use` declaration, flattened: one entry for each name that it brings into scope.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Use {
    path: Path,
    /// The name in scope; `*` for all names of the path.
    name: String,
    /// Whether it is `pub` in some way, and so only hands the name on.
    is_public: bool,
}

/// The paths and `use` declarations in tokens.
fn paths(tokens: &[Token]) -> (Vec<Path>, Vec<Use>) {
    let (mut paths, mut uses) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at].text == "use" {
            let is_public = is_behind_pub(tokens, at);
            at = read_use(tokens, at + 1, &[], is_public, &mut uses);
        } else if is_name(&tokens[at]) && (at == 0 || !["::", "."].contains(&tokens[at - 1].text.as_str())) {
            let mut path = vec![tokens[at].text.clone()];
            while tokens.get(at + 1).is_some_and(|it| it.text == "::") && tokens.get(at + 2).is_some_and(is_name) {
                path.push(tokens[at + 2].text.clone());
                at += 2;
            }
            if path.len() > 1 {
                paths.push(path);
            }
            at += 1;
        } else {
            at += 1;
        }
    }
    (paths, uses)
}

fn is_name(token: &Token) -> bool {
    token.text.starts_with(|it: char| it.is_alphabetic() || it == '_')
}

/// Whether `pub` or `pub(…)` stands before the token.
fn is_behind_pub(tokens: &[Token], at: usize) -> bool {
    let before = tokens[..at].iter().rev().map(|token| token.text.as_str());
    let mut before = before.skip_while(|it| [")", "crate", "super", "("].contains(it));
    before.next() == Some("pub")
}

/// Reads the tree of a `use` behind `prefix`, and returns the position after it.
fn read_use(tokens: &[Token], mut at: usize, prefix: &[String], is_public: bool, uses: &mut Vec<Use>) -> usize {
    let mut path = prefix.to_vec();
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            "::" => at += 1,
            "{" => {
                let end = after_bracket(tokens, at);
                at += 1;
                while at < end - 1 {
                    at = read_use(tokens, at, &path, is_public, uses);
                }
                return end;
            }
            "as" => {
                uses.push(Use { path, name: tokens[at + 1].text.clone(), is_public });
                return at + 3;
            }
            "," | ";" | "}" => {
                // `{self, …}` names the path before the brace.
                if path.last().is_some_and(|it| it == "self") && path.len() > 1 {
                    path.pop();
                }
                let name = path.last().cloned().unwrap_or_default();
                if path.len() > prefix.len() || prefix.len() > 1 {
                    uses.push(Use { path, name, is_public });
                }
                return at + usize::from(tokens[at].text != "}");
            }
            name => {
                path.push(name.to_owned());
                at += 1;
            }
        }
    }
    at
}

/// Which file module uses which, and where the names of a module come from.
struct Map<'a> {
    modules: &'a Modules,
    uses: BTreeMap<&'a str, Vec<Use>>,
    paths: BTreeMap<&'a str, Vec<Path>>,
}

impl<'a> Map<'a> {
    /// The map of the code outside tests.
    fn of(modules: &'a Modules) -> Self {
        let code = modules.iter().filter(|(_, module)| !module.is_test);
        let read: BTreeMap<&str, _> = code.map(|(name, module)| (name.as_str(), self::paths(&module.tokens))).collect();
        let uses = read.iter().map(|(name, (_, uses))| (*name, uses.clone())).collect();
        let paths = read.into_iter().map(|(name, (paths, _))| (name, paths)).collect();
        Self { modules, uses, paths }
    }

    /// The path from the crate's root; `None` if it leads out of the crate.
    fn absolute(&self, module: &str, path: &[String]) -> Option<Path> {
        let mut base: Path = module.split("::").filter(|it| !it.is_empty()).map(str::to_owned).collect();
        let mut rest = path;
        match path.first().map(String::as_str) {
            Some("crate") => {
                base.clear();
                rest = &rest[1..];
            }
            Some("self") => rest = &rest[1..],
            Some("super") => {}
            Some(first) if self.modules.contains_key(&join(module, first)) => {}
            _ => return None,
        }
        while rest.first().is_some_and(|it| it == "super") {
            base.pop();
            rest = &rest[1..];
        }
        base.extend_from_slice(rest);
        Some(base)
    }

    /// The module in which the thing at an absolute path is defined, through the modules that hand its name on.
    fn home(&self, path: &[String], depth: usize) -> String {
        let mut module = String::new();
        for (at, segment) in path.iter().enumerate() {
            let child = join(&module, segment);
            if self.modules.contains_key(&child) {
                module = child;
                continue;
            }
            let handed_on = self.uses.get(module.as_str()).into_iter().flatten().find(|it| it.name == *segment);
            if let Some(handed_on) = handed_on.filter(|_| depth < 9)
                && let Some(mut target) = self.absolute(&module, &handed_on.path)
            {
                target.extend_from_slice(&path[at + 1..]);
                return self.home(&target, depth + 1);
            }
            break;
        }
        module
    }

    /// The modules that a module's code depends on. Handing a name on is no dependency.
    fn dependencies(&self, module: &str) -> BTreeSet<String> {
        let used = self.uses[module].iter().filter(|it| !it.is_public).map(|it| &it.path);
        let all = used.chain(&self.paths[module]).filter_map(|path| self.absolute(module, path));
        all.map(|path| self.home(&path, 0)).filter(|home| home != module).collect()
    }

    /// The top-level modules whose names a top-level module's code writes, tests apart.
    fn imports(&self, room: &str) -> BTreeSet<String> {
        let names = self.uses.keys().filter(|name| top(name) == room);
        let all = names.flat_map(|name| {
            let used = self.uses[name].iter().map(|it| &it.path);
            used.chain(&self.paths[name]).filter_map(|path| self.absolute(name, path))
        });
        all.filter_map(|path| path.first().cloned()).filter(|it| it != room && self.modules.contains_key(it)).collect()
    }
}

/// The first segment of a module's path.
fn top(module: &str) -> &str {
    module.split("::").next().unwrap_or_default()
}

/// One row of the table in the documentation of the crate.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    module: String,
    /// Whether the whole module is pure.
    is_pure: bool,
    imports: BTreeSet<String>,
}

/// Reads the table with the columns module, what it is, pure, imports.
fn table(comments: &[source::Comment]) -> Vec<Row> {
    let lines = comments.iter().filter(|it| it.of_file).map(|it| it.text.as_str());
    let rows =
        lines.skip_while(|line| !line.starts_with("| module |")).skip(2).take_while(|line| line.starts_with('|'));
    let name = |text: &str| text.trim_matches(['[', ']', '`', ' ']).to_owned();
    rows.map(|row| {
        let columns: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [module, _, pure, imports] = columns[..] else { panic!("four columns, not {row}") };
        let imports = imports.split(',').map(name).filter(|it| !it.is_empty()).collect();
        Row { module: name(module), is_pure: pure == "yes", imports }
    })
    .collect()
}

/// The differences between the table and the code.
fn differences(modules: &Modules) -> Vec<String> {
    let (map, table) = (Map::of(modules), table(&modules[""].comments));
    let tops: BTreeSet<&str> = map.uses.keys().map(|name| top(name)).filter(|it| !it.is_empty()).collect();
    let listed: BTreeSet<&str> = table.iter().map(|row| row.module.as_str()).collect();
    let mut found: Vec<String> = tops
        .symmetric_difference(&listed)
        .map(|it| format!("{it}: in the code or in the table, not in both"))
        .collect();
    for row in table.iter().filter(|row| tops.contains(row.module.as_str())) {
        let actual = map.imports(&row.module);
        found
            .extend(actual.difference(&row.imports).map(|it| format!("{} imports {it}: not in the table", row.module)));
        found.extend(row.imports.difference(&actual).map(|it| format!("{} does not import {it}", row.module)));
    }
    found
}

/// One circle for each group of modules that use each other, as its path.
fn circles(edges: &Edges) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for begin in edges.keys() {
        if let Some(circle) = shortest_way(edges, begin)
            && circle.iter().all(|it| !seen.contains(it))
        {
            found.push(circle.join(" → "));
            seen.extend(circle);
        }
    }
    found
}

/// The shortest way from a module back to itself.
fn shortest_way(edges: &Edges, begin: &str) -> Option<Vec<String>> {
    let mut from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut wave = vec![begin];
    while !wave.is_empty() {
        let mut next = Vec::new();
        for here in wave {
            for there in edges.get(here).into_iter().flatten() {
                if there == begin {
                    let mut way = vec![begin.to_owned(), here.to_owned()];
                    while let Some(before) = from.get(way[way.len() - 1].as_str()) {
                        way.push((*before).to_owned());
                    }
                    if here == begin {
                        way.pop();
                    }
                    way.reverse();
                    return Some(way);
                }
                if !from.contains_key(there.as_str()) {
                    from.insert(there, here);
                    next.push(there.as_str());
                }
            }
        }
        wave = next;
    }
    None
}

/// Which modules use which.
type Edges = BTreeMap<String, BTreeSet<String>>;

/// The dependencies among the modules, except those of the rooms that are left out.
///
/// A module may use the items of the modules that contain it: they are its namespace, not its neighbours.
fn edges(modules: &Modules, without: &[&str]) -> Edges {
    let map = Map::of(modules);
    let names = map.uses.keys().filter(|name| !without.contains(&top(name)) && !name.is_empty());
    let edges = names.map(|name| {
        let contains_it = |other: &String| other.is_empty() || name.starts_with(&format!("{other}::"));
        let used = map.dependencies(name).into_iter().filter(|it| !contains_it(it));
        ((*name).to_owned(), used.collect())
    });
    edges.collect()
}

/// The dependencies among the top-level modules.
fn rooms(modules: &Modules, without: &[&str]) -> Edges {
    let map = Map::of(modules);
    let tops: BTreeSet<&str> = map.uses.keys().map(|name| top(name)).filter(|it| !it.is_empty()).collect();
    tops.into_iter().filter(|it| !without.contains(it)).map(|room| (room.to_owned(), map.imports(room))).collect()
}

/// Crates and paths that bring in AWS, waiting, a clock or the environment.
const IMPURE: [&str; 12] = [
    "async",
    "await",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    "Utc::now",
    "futures_util",
    "tokio",
];

/// The impure names in a module's code: those of `IMPURE`, and the crates of the AWS SDK.
fn impurities(module: &Module) -> Vec<String> {
    let (mut named, uses) = paths(&module.tokens);
    named.extend(uses.into_iter().map(|it| it.path));
    let is_impure = |path: &[String]| {
        let text = path.join("::");
        let is_in = |impure: &&str| {
            text == **impure || text.starts_with(&format!("{impure}::")) || text.ends_with(&format!("::{impure}"))
        };
        ["aws_config", "aws_credential_types", "aws_sdk", "aws_sig", "aws_smithy", "aws_types"]
            .iter()
            .any(|it| text.starts_with(it))
            || IMPURE.iter().any(is_in)
    };
    let words = module.tokens.iter().filter(|it| ["async", "await"].contains(&it.text.as_str()));
    let mut found: Vec<String> = named.iter().filter(|path| is_impure(path)).map(|path| path.join("::")).collect();
    found.extend(words.map(|it| it.text.clone()));
    found.iter().map(|it| format!("{}: {it}", module.path)).collect()
}

/// The modules that have to be pure: those of the table, and files whose documentation says "Pure."
fn pure(modules: &Modules) -> impl Iterator<Item = &Module> {
    let rooms: BTreeSet<String> =
        table(&modules[""].comments).into_iter().filter(|row| row.is_pure).map(|row| row.module).collect();
    let says_so = |module: &Module| {
        let text: Vec<&str> = module.comments.iter().filter(|it| it.of_file).map(|it| it.text.as_str()).collect();
        format!("{} ", text.join(" ")).contains(" Pure. ")
    };
    modules
        .iter()
        .filter(move |(name, module)| !module.is_test && (rooms.contains(top(name)) || says_so(module)))
        .map(|(_, it)| it)
}

#[expect(clippy::needless_pass_by_value, reason = "callers make the list in the call")]
fn none(found: Vec<String>) {
    assert!(found.is_empty(), "{} found:\n{}", found.len(), found.join("\n"));
}

#[test]
fn modules_import_what_the_table_in_lib_rs_says() {
    none(differences(&source::library()));
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let library = source::library();
    let found = circles(&edges(&library, &["rehearsal"])).into_iter().chain(circles(&rooms(&library, &["rehearsal"])));
    none(found.collect());
}

#[test]
fn pure_modules_name_nothing_impure() {
    let library = source::library();
    assert!(pure(&library).count() > 20, "most of the core is pure");
    none(pure(&library).flat_map(impurities).collect());
}

#[test]
fn every_file_of_src_belongs_to_a_module() {
    let reached: BTreeSet<String> = source::library().into_values().map(|module| module.path).collect();
    let main = |path: &String| path == "src/main.rs";
    none(source::files("src", &["rs"]).into_iter().filter(|path| !main(path) && !reached.contains(path)).collect());
}

const TABLE: &str = "//! | module | what it is | pure | imports |\n//! |---|---|---|---|\n";

fn small(rows: &str, files: &[(&str, &str)]) -> Modules {
    let mut modules = source::fixture(files);
    modules.insert(String::new(), Module::read("lib.rs", &format!("{TABLE}{rows}"), false));
    modules
}

#[test]
fn an_import_that_the_table_does_not_list_is_found() {
    let rows = "//! | [`a`] | x | yes | |\n//! | `b` | x | no | `a`, `c` |\n//! | `c` | x | no | |\n";
    let files =
        [("a", "use crate::c::{D, e::F};"), ("b", "fn f() { crate::a::g() }"), ("c", "pub mod e;"), ("c::e", "")];
    assert_eq!(differences(&small(rows, &files)), ["a imports c: not in the table", "b does not import c"]);
    assert_eq!(differences(&small("", &files[..1])), ["a: in the code or in the table, not in both"]);
}

#[test]
fn imports_of_tests_do_not_count() {
    let files = [("a", "#[cfg(test)] mod tests { use crate::b::C; }"), ("b", "")];
    assert_eq!(differences(&small("//! | `a` | x | no | |\n//! | `b` | x | no | |\n", &files)), [""; 0]);
}

#[test]
fn a_circle_is_found_through_names_that_are_handed_on() {
    let files = [
        ("room", "mod a; mod b; pub use a::A; pub use b::{self, B};"),
        ("room::a", "use super::B; pub struct A(B);"),
        ("room::b", "pub struct B; fn f(it: &super::A) {}"),
        ("other", "use crate::room::A;"),
    ];
    assert_eq!(circles(&edges(&source::fixture(&files), &[])), ["room::a → room::b → room::a"]);
    assert_eq!(circles(&edges(&source::fixture(&files), &["room"])), [""; 0]);
    assert_eq!(circles(&edges(&source::fixture(&[files[0], files[1], ("room::b", "pub struct B;")]), &[])), [""; 0]);
    let rooms_of = [("a", "mod c;"), ("a::c", "use crate::b::B;"), ("b", "fn f(it: crate::a::A) {}")];
    assert_eq!(circles(&edges(&source::fixture(&rooms_of), &[])), [""; 0], "no files");
    assert_eq!(circles(&rooms(&source::fixture(&rooms_of), &[])), ["a → b → a"]);
}

#[test]
fn every_form_of_use_is_read() {
    let (tokens, _) = source::split("use crate::a::{self, b as c, d::*, e::{F, G}}; pub(crate) use super::h;");
    let (_, uses) = paths(&tokens);
    let read: Vec<_> = uses.iter().map(|it| format!("{} {} {}", it.path.join("::"), it.name, it.is_public)).collect();
    assert_eq!(
        read,
        [
            "crate::a a false",
            "crate::a::b c false",
            "crate::a::d::* * false",
            "crate::a::e::F F false",
            "crate::a::e::G G false",
            "super::h h true"
        ]
    );
}

#[test]
fn something_impure_is_found() {
    let module = |source: &str| Module::read("a.rs", source, false);
    for (source, found) in [
        ("use aws_sdk_iam::Client;", "aws_sdk_iam::Client"),
        ("async fn f() {}", "async"),
        ("fn f() -> DateTime<Utc> { chrono::Utc::now() }", "chrono::Utc::now"),
        ("use std::env; ", "std::env"),
        ("fn f() { std::env::var(\"A\") }", "std::env::var"),
        ("use tokio::time;", "tokio::time"),
    ] {
        assert_eq!(impurities(&module(source)), [format!("a.rs: {found}")], "{source}");
    }
    assert_eq!(impurities(&module("use std::fmt; #[cfg(test)] mod tests { use tokio::time; }")), [""; 0]);
    let modules = source::fixture(&[("a", "//! Reads. Pure.\n"), ("b", "//! Pure text.\n")]);
    assert_eq!(pure(&modules).map(|it| it.path.as_str()).collect::<Vec<_>>(), ["a.rs"]);
}
