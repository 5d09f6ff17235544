//! Placeholders that other programs fill in and this one would send: `[First Name]`, `*|FNAME|*`, `{first_name}`.
//!
//! Sales teams paste what worked elsewhere. Only a word that names a variable here, between signs that mark one
//! there, is a finding; brackets and braces around anything else are nobody's business.

use super::{Code, Finding, Part, error};
use crate::template::{KNOWN, Template, field_name};

/// The signs around placeholders of other programs; the longer of two that begin alike comes first.
const SIGNS: &[(&str, &str)] = &[
    ("*|", "|*"),
    ("<<", ">>"),
    ("{%", "%}"),
    ("%%", "%%"),
    ("${", "}"),
    ("{", "}"),
    ("[", "]"),
    ("%", "%"),
];
/// The longest text between two signs that can be a placeholder.
const MAX_BYTES: usize = 40;
/// What other programs call our variables, without anything but letters.
const FOREIGN: &[(&str, &str)] = &[
    ("fname", "first_name"),
    ("lname", "last_name"),
    ("fullname", "name"),
    ("yourname", "name"),
    ("contactname", "name"),
    ("companyname", "company"),
    ("organization", "company"),
    ("jobtitle", "title"),
    ("sendername", "sender.name"),
    ("unsubscribe", "unsubscribe_url"),
    ("unsub", "unsubscribe_url"),
    ("unsubscribelink", "unsubscribe_url"),
];

pub(super) fn check(part: Part, template: &Template, findings: &mut Vec<Finding>) {
    let mut met = Vec::new();
    for text in template.texts() {
        for (written, meant) in placeholders(text) {
            if !met.contains(&written) {
                findings.push(error(
                    Code::ForeignPlaceholder,
                    part,
                    format!("{written} would be sent as it stands"),
                    format!("write {{{{{meant}}}}}, or with a default {{{{{meant}|…}}}}"),
                ));
                met.push(written);
            }
        }
    }
}

fn placeholders(text: &str) -> Vec<(&str, &'static str)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = text[at..].find(['*', '<', '{', '[', '%', '$']) {
        at += next;
        match SIGNS.iter().find_map(|signs| placeholder(&text[at..], *signs)) {
            Some((written, meant)) => {
                found.push((written, meant));
                at += written.len();
            }
            None => at += 1,
        }
    }
    found
}

fn placeholder<'a>(rest: &'a str, (opens, closes): (&str, &str)) -> Option<(&'a str, &'static str)> {
    let inside = rest.strip_prefix(opens)?;
    let end = inside.find(closes).filter(|end| *end <= MAX_BYTES)?;
    let meant = meant(&inside[..end])?;
    Some((&rest[..opens.len() + end + closes.len()], meant))
}

fn meant(inside: &str) -> Option<&'static str> {
    let word = field_name(inside)?.replace('_', "");
    let ours = KNOWN.iter().find(|known| known.name.replace(['_', '.'], "") == word);
    ours.map(|known| known.name)
        .or_else(|| FOREIGN.iter().find(|(foreign, _)| *foreign == word).map(|(_, name)| *name))
}
