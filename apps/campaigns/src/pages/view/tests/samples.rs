//! Each page filled with a text in every place that has one, and each page as it is before there is anything.
//!
//! What pages share is here; each noun of the application has its samples in a module of its own.

pub(super) mod accounts;
mod campaigns;
mod contacts;
mod rules;
mod templates;
mod touches;

use askama::Template;
use windlass_look::{Flash, Frame, Place, Visitor};

use super::super::*;
use crate::channel::Channel;

use crate::pages::{Section, Shell};

const NOW: u64 = 1_795_253_400_000;

/// What stands around a page below `/q`, for somebody who may do everything but perhaps administer.
pub(super) fn shell(here: Section, is_admin: bool) -> Shell {
    let place = |name, label, key| Place { name, label, key, at: format!("/q{name}") };
    let frame = Frame {
        base: "/q".to_owned(),
        places: vec![
            place("/", "Overview", "o"),
            place("/campaigns", "Campaigns", "p"),
            place("/jobs", "Jobs", "j"),
        ],
        address: "/q/campaigns".to_owned(),
        flash: Some(Flash::good("Saved.")),
        may: "read payloads operate admin".to_owned(),
        who: Some("root".to_owned()),
        server: "localhost:7979/q".to_owned(),
        ..Frame::default()
    };
    let mut visitor = Visitor::new("root", frame);
    (visitor.may_see_payloads, visitor.may_operate, visitor.may_admin) = (true, true, is_admin);
    Shell::of(&visitor, here).reviews(2)
}

fn admin(here: Section) -> Shell {
    shell(here, true)
}

fn html(page: &impl Template) -> String {
    page.render().expect("a page")
}

fn when(ago_ms: u64) -> When {
    When::new("2026-11-21T09:30:00.000Z", NOW - ago_ms, NOW)
}

fn soon() -> When {
    When::new("2026-11-21T12:30:00.000Z", NOW + 10_800_000, NOW)
}

fn paging() -> Pages {
    Pages { first: Some("/q/campaigns".to_owned()), next: Some("/q/campaigns?before=7&x=1".to_owned()) }
}

fn wrong(t: &str) -> Input {
    Input::of(t).wrong(t)
}

fn choices(t: &str) -> Vec<Choice> {
    vec![Choice::of("", "any", "x"), Choice::of("x", t, "x"), Choice::of(t, t, "x")]
}

/// Every page, with that text in every place that has one.
pub(super) fn full(t: &str) -> Vec<(&'static str, String)> {
    let all = [
        campaigns::full(t),
        touches::full(t),
        contacts::full(t),
        templates::full(t),
        accounts::full(t),
        rules::full(t),
    ];
    all.into_iter().flatten().collect()
}

/// The pages of an application in which nothing is yet.
pub(super) fn empty() -> Vec<(&'static str, String)> {
    let all = [
        campaigns::empty(),
        touches::empty(),
        contacts::empty(),
        templates::empty(),
        accounts::empty(),
        rules::empty(),
    ];
    all.into_iter().flatten().collect()
}
