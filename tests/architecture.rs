//! Rules that hold for the sources and the pages as a whole: imports, names, words, links, references, examples.
//!
//! Each rule has a test over the package, and beside it a test that plants a violation, which has to be found.

mod examples;
mod imports;
mod installs;
mod names;
mod pages;
mod source;
mod words;
