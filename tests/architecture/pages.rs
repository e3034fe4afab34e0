//! The pages: their links, and the reference pages compared with the code and the templates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use keywheel::error::Error;

use super::source::{files, root, text};

/// Every page: those of the package's root, and those in the folders that have pages.
pub(super) fn pages() -> BTreeMap<String, String> {
    let top = std::fs::read_dir(root()).expect("the root").filter_map(|entry| {
        let name = entry.expect("an entry of the root").file_name().into_string().expect("UTF-8");
        std::path::Path::new(&name).extension().is_some_and(|extension| extension == "md").then_some(name)
    });
    let folders = ["docs", "sam", "templates", "benches", "tests"];
    let below = folders.into_iter().flat_map(|folder| files(folder, &["md"]));
    let is_ours = |path: &String| !path.contains("/.");
    top.chain(below).filter(is_ours).map(|path| (path.clone(), text(&path))).collect()
}

/// The lines of a page that are not in a fenced block, each with its number from 1.
pub(super) fn prose(page: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_fenced = false;
    page.lines().enumerate().filter_map(move |(at, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_fenced ^= is_fence;
        (!is_fence && !is_fenced).then_some((at + 1, line))
    })
}

/// A line without its `code`.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// The targets of the links and pictures of a page, with their lines.
fn links(page: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(page) {
        let line = without_code(line);
        for opening in ["](", "src=\"", "href=\"", "srcset=\""] {
            let close = if opening == "](" { ')' } else { '"' };
            let targets = line.split(opening).skip(1).filter_map(|rest| rest.split_once(close));
            found.extend(targets.map(|(target, _)| (number, target.split(' ').next().unwrap_or_default().to_owned())));
        }
    }
    found
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, line) in prose(page) {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        // A link in a heading counts with its text alone.
        let shown: String = heading
            .split("](")
            .enumerate()
            .map(|(at, part)| match (at, part.split_once(')')) {
                (1.., Some((_, rest))) => rest,
                _ => part,
            })
            .collect();
        let kept = shown.trim().chars().filter(|it| it.is_alphanumeric() || [' ', '-', '_'].contains(it));
        let anchor: String = kept.map(|it| if it == ' ' { '-' } else { it.to_ascii_lowercase() }).collect();
        let again = (1..).map(|n| format!("{anchor}-{n}"));
        let free = std::iter::once(anchor.clone()).chain(again).find(|it| !found.contains(it));
        found.extend(free);
    }
    found
}

/// The path of a link's target from the package's root.
fn target(page: &str, link: &str) -> String {
    let folder = Path::new(page).parent().unwrap_or(Path::new(""));
    let mut path = PathBuf::new();
    for part in folder.join(link).components() {
        if part == Component::ParentDir {
            path.pop();
        } else {
            path.push(part);
        }
    }
    path.to_string_lossy().into_owned()
}

/// The broken links of the pages. `is_there` says whether a file or folder exists.
fn broken(pages: &BTreeMap<String, String>, is_there: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (page, text) in pages {
        for (line, link) in links(text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let path = if path.is_empty() { page.clone() } else { target(page, path) };
            let has_anchor = || pages.get(&path).is_none_or(|text| anchors(text).contains(anchor));
            if !is_there(&path) || !anchor.is_empty() && !has_anchor() {
                found.push(format!("{page}:{line}: {link}"));
            }
        }
    }
    found
}

/// The pages to which no other page links. The README is where readers begin.
fn unreachable(pages: &BTreeMap<String, String>) -> Vec<String> {
    let linked: BTreeSet<String> = pages
        .iter()
        .flat_map(|(page, text)| {
            let targets =
                links(text).into_iter().map(move |(_, link)| target(page, link.split('#').next().unwrap_or_default()));
            targets.filter(move |it| it != page)
        })
        .collect();
    let is_needed = |page: &&String| page.starts_with("docs/") || !page.contains('/') && *page != "README.md";
    pages.keys().filter(is_needed).filter(|page| !linked.contains(*page)).cloned().collect()
}

/// The names in the first column of a page's tables, without their backticks.
fn first_column(page: &str) -> BTreeSet<String> {
    let cells = prose(page).filter_map(|(_, line)| line.strip_prefix("| `")?.split_once("` |"));
    cells.map(|(name, _)| name.to_owned()).collect()
}

/// The texts between quotes on lines that satisfy the condition.
fn quoted(source: &str, condition: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let lines = source.lines().filter(|line| condition(line));
    lines.filter_map(|line| Some(line.split_once('"')?.1.split_once('"')?.0.to_owned())).collect()
}

/// The tags of keywheel's that the sources declare.
fn tag_names(source: &str) -> BTreeSet<String> {
    quoted(source, |line| line.contains("const ") && line.contains("= \"keywheel:"))
}

/// A section of a template, without its heading and comments.
fn section<'a>(template: &'a str, name: &str) -> Vec<&'a str> {
    let lines = template.lines().skip_while(|line| *line != format!("{name}:")).skip(1);
    let inside = lines.take_while(|line| line.is_empty() || line.starts_with([' ', '#']));
    inside.filter(|line| !line.trim_start().starts_with('#')).collect()
}

/// The names that a section of a template declares.
fn names_in(template: &str, name: &str) -> Vec<String> {
    let two = |line: &&str| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')).map(str::to_owned);
    section(template, name).iter().filter_map(two).filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect()
}

/// The parameters of a template that nothing in it refers to.
fn unused_parameters(template: &str) -> Vec<String> {
    let used =
        ["Rules", "Conditions", "Globals", "Resources", "Outputs"].map(|name| section(template, name).join("\n"));
    let used = used.join("\n");
    let is_word = |it: char| it.is_alphanumeric() || it == ':';
    let words: BTreeSet<&str> = used.split(|it| !is_word(it)).collect();
    names_in(template, "Parameters").into_iter().filter(|name| !words.contains(name.as_str())).collect()
}

/// The variables that no function of the template gets.
fn unset_variables(template: &str, variables: &[&str]) -> Vec<String> {
    let is_set = |variable: &&str| {
        let line = format!("{variable}: ");
        template.lines().any(|it| it.trim_start().starts_with(&line) && it.starts_with("      "))
    };
    variables.iter().filter(|it| !is_set(it)).map(|it| (*it).to_owned()).collect()
}

/// The places that recommend a `credential_process`: a line of configuration, or a paragraph that does not warn. A
/// heading without a paragraph says nothing yet.
fn recommendations(name: &str, text: &str) -> Vec<String> {
    let mentions = |part: &&str| part.contains("credential_process") && !part.starts_with('#');
    let warns = |part: &str| part.contains("Do not") && !part.contains("credential_process =");
    text.split("\n\n").filter(mentions).filter(|it| !warns(it)).map(|it| format!("{name}: {it}")).collect()
}

fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{} {what}:\n{}", found.len(), found.join("\n"));
}

fn same(wanted: &BTreeSet<String>, page: &BTreeSet<String>, name: &str) {
    let missing: Vec<&String> = wanted.difference(page).collect();
    assert!(missing.is_empty(), "{name} does not explain {missing:?}");
    let obsolete: Vec<&String> = page.difference(wanted).collect();
    assert!(obsolete.is_empty(), "{name} explains {obsolete:?}, which the code does not have");
}

#[test]
fn no_link_of_a_page_is_broken() {
    none("links lead nowhere", &broken(&pages(), |path| root().join(path).exists()));
}

#[test]
fn every_page_is_linked_from_another() {
    none("pages have no link to them", &unreachable(&pages()));
}

#[test]
fn the_page_of_errors_has_every_error() {
    let names = Error::NAMES.iter().map(|name| (*name).to_owned()).collect();
    same(&names, &first_column(&text("docs/reference/errors.md")), "docs/reference/errors.md");
}

#[test]
fn the_page_of_tags_has_every_tag() {
    let sources: String =
        files("src", &["rs"]).iter().filter(|path| path.starts_with("src/state")).map(|it| text(it)).collect();
    let names = tag_names(&sources);
    assert!(names.len() > 10 && names.contains("keywheel:intent"), "{names:?}");
    same(&names, &first_column(&text("docs/reference/tags.md")), "docs/reference/tags.md");
}

#[test]
fn the_pages_of_alarms_have_every_alarm() {
    let template = text("sam/template.yaml");
    let names = template.lines().filter_map(|line| line.split_once("AlarmName: !Sub ${AWS::StackName}-"));
    let names: BTreeSet<String> = names.map(|(_, name)| name.to_owned()).collect();
    assert!(names.len() > 5, "{names:?}");
    let reference = first_column(&text("docs/reference/metrics-and-alarms.md"));
    let runbook = anchors(&text("docs/runbook.md"));
    let missing: Vec<String> = names.difference(&reference).cloned().collect();
    none("alarms are not in docs/reference/metrics-and-alarms.md", &missing);
    let silent: Vec<String> = names.difference(&runbook).cloned().collect();
    none("alarms have no section in docs/runbook.md", &silent);
}

#[test]
fn every_setting_reaches_a_function() {
    none(
        "settings are in no function's environment",
        &unset_variables(&text("sam/template.yaml"), &keywheel::settings::VARIABLES),
    );
}

#[test]
fn every_parameter_of_a_template_is_used() {
    for path in ["sam/template.yaml", "sam/member-account.yaml"] {
        let template = text(path);
        assert!(names_in(&template, "Parameters").len() > 5, "{path}");
        none(path, &unused_parameters(&template));
    }
}

#[test]
fn on_aws_b9_no_page_recommends_a_credential_process() {
    let templates = files("templates", &["html", "txt"]).into_iter().map(|path| (path.clone(), text(&path)));
    let all: Vec<(String, String)> =
        pages().into_iter().filter(|(name, _)| name != "CHANGELOG.md").chain(templates).collect();
    assert!(all.iter().any(|(_, text)| text.contains("credential_process")), "no page warns");
    let found: Vec<String> = all.iter().flat_map(|(name, text)| recommendations(name, text)).collect();
    none("paragraphs recommend it", &found);
}

#[test]
fn a_recommendation_is_found() {
    let page =
        "## Not as a credential_process\n\nDo not name it as a credential_process.\n\nValid for credential_process.\n";
    assert_eq!(recommendations("a.md", page), ["a.md: Valid for credential_process.\n"]);
    let lines = "Do not:\n[profile x]\ncredential_process = aws\n";
    assert_eq!(recommendations("a.md", lines).len(), 1);
}

fn small(pages: &[(&str, &str)]) -> BTreeMap<String, String> {
    pages.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn a_broken_link_is_found() {
    let pages = small(&[
        (
            "README.md",
            "[a](docs/a.md#two-words) [b](docs/b.md) `[code](x.md)`\n```\n[fenced](x.md)\n```\n![p](p.svg)\n",
        ),
        (
            "docs/a.md",
            "# A\n## Two words\n## Two words\n[c](#two-words-1) [d](#three) [e](../README.md) [f](https://x.y/z)\n<img src=\"q.svg\">\n",
        ),
    ]);
    let is_there = |path: &str| ["README.md", "docs/a.md", "p.svg"].contains(&path);
    assert_eq!(broken(&pages, is_there), ["README.md:1: docs/b.md", "docs/a.md:4: #three", "docs/a.md:5: q.svg"]);
}

#[test]
fn a_page_without_a_link_to_it_is_found() {
    let pages = small(&[
        ("README.md", "[a](docs/a.md)"),
        ("docs/a.md", ""),
        ("docs/b.md", "[itself](b.md)"),
        ("C.md", ""),
        ("sam/d.md", ""),
    ]);
    assert_eq!(unreachable(&pages), ["C.md", "docs/b.md"]);
}

#[test]
fn anchors_are_those_of_github() {
    let page = "# Who gains what?\n## `keywheel audit`, and *more*\n## The [mail](x.md) it_sends\n";
    assert_eq!(
        anchors(page),
        ["keywheel-audit-and-more", "the-mail-it_sends", "who-gains-what"].map(str::to_owned).into()
    );
}

#[test]
fn a_name_that_a_page_lacks_is_found() {
    assert_eq!(
        tag_names("    pub const A: &str = \"keywheel:a\";\n// = \"keywheel:b\"\n"),
        ["keywheel:a".to_owned()].into()
    );
    let column = first_column("| name | meaning |\n|---|---|\n| `Aws` | x |\n| plain | `y` |\n");
    assert_eq!(column, ["Aws".to_owned()].into());
    for (wanted, page) in
        [(["Aws", "Gone"], column.clone()), (["Aws", "Aws"], ["Aws", "Old"].map(str::to_owned).into())]
    {
        let wanted = wanted.map(str::to_owned).into();
        assert!(std::panic::catch_unwind(|| same(&wanted, &page, "page")).is_err());
    }
}

#[test]
fn an_unused_parameter_and_an_unset_variable_are_found() {
    let template = "Parameters:\n  Used:\n    Type: String\n  Unused:\n    Type: String\nResources:\n  # Unused\n  A:\n    B: !Sub x-${Used}\n      C:\n        SET: !Ref Used\n";
    assert_eq!(unused_parameters(template), ["Unused"]);
    assert_eq!(unset_variables(template, &["SET", "UNSET"]), ["UNSET"]);
}
