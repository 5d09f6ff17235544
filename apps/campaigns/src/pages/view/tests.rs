//! Every page with values in it, and without any: what is rendered is well-formed, each field has its label, links stay
//! here, and nothing that somebody wrote is ever markup.

mod markup;
mod samples;

use std::path::Path;

use samples::{empty, full};

#[test]
fn every_page_is_well_formed_labels_its_fields_and_brings_no_code() {
    let pages = full("Ann").into_iter().chain(empty());
    for (name, html) in pages {
        let faults = markup::faults(&html, "/q");
        assert!(faults.is_empty(), "{name}:\n{}\n{html}", faults.join("\n"));
    }
}

#[test]
fn nothing_that_is_stored_is_markup() {
    for hostile in [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(2)>",
        "' onmouseover='alert(3)'",
        "</textarea></pre></svg><b>4</b>",
        "{{ 7 * 7 }}<i>5</i>",
    ] {
        for (name, html) in full(hostile) {
            assert!(!html.contains(hostile), "{name} has {hostile} as it is:\n{html}");
            let faults = markup::faults(&html, "/q");
            assert!(faults.is_empty(), "{name} of {hostile}:\n{}\n{html}", faults.join("\n"));
        }
    }
}

#[test]
fn every_page_says_what_it_was_filled_with() {
    for (name, html) in full("xyzzy") {
        assert!(html.contains("xyzzy"), "{name} says nothing of what it was given:\n{html}");
    }
}

#[test]
fn templates_hold_no_code_and_trust_nothing() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the templates") {
        let path = entry.expect("a template").path();
        let text = std::fs::read_to_string(&path).expect("text");
        for forbidden in ["|safe", "| safe", " style=", "<style", "<script", "javascript:", "http://"] {
            assert!(!text.contains(forbidden), "{} has {forbidden}", path.display());
        }
        seen += 1;
    }
    assert!(seen > 15);
}

#[test]
fn what_a_visitor_may_not_press_is_not_on_the_pages_that_only_admins_change() {
    let admin = full("Ann").into_iter().find(|(name, _)| *name == "provider").expect("the page").1;
    assert!(admin.contains("/breaker\"") && admin.contains("name=\"secret\""));
    let html = samples::accounts::provider(samples::shell(super::super::Section::Providers, false), "Ann");
    assert!(
        !html.contains("/breaker\"") && !html.contains("name=\"secret\"") && !html.contains("/rules"),
        "{html}"
    );
}

#[test]
fn a_bar_of_progress_is_full_only_when_all_is_done() {
    use super::{Count, percent};
    assert_eq!((percent(Count(99_999), Count(100_000)), percent(Count(0), Count(0))), (99, 0));
    assert_eq!(Count::from(-3_i64), Count(0));
    assert_eq!(Count(12_345).to_string(), "12,345");
}

#[test]
fn pages_know_the_words_of_the_application() {
    use super::{CONDITIONS, DELAY_UNITS, icon_of};
    use crate::model::campaign::{CampaignStatus, Condition, EnrolmentStatus};
    use crate::model::touch::{EventKind, TouchStatus};
    use crate::window::Delay;
    use serde_json::{from_value, json};

    for (word, _) in CONDITIONS {
        from_value::<Condition>(json!(word)).expect(word);
    }
    for (unit, _) in DELAY_UNITS {
        from_value::<Delay>(json!({ "unit": unit, "count": 2 })).expect(unit);
    }
    for status in TouchStatus::ALL {
        assert_ne!(icon_of(&status.to_string()), "idle", "{status}");
    }
    let campaigns = ["draft", "scheduled", "running", "paused", "done", "cancelled"];
    let events = [
        "opened",
        "clicked",
        "replied",
        "auto_answered",
        "delayed",
        "opted_out",
        "opted_in",
        "complained",
        "decided",
        "repeated",
        "found",
    ];
    for word in campaigns {
        from_value::<CampaignStatus>(json!(word)).expect(word);
        assert_ne!(icon_of(word), "idle", "{word}");
    }
    for word in events {
        from_value::<EventKind>(json!(word)).expect(word);
        assert_ne!(icon_of(word), "idle", "{word}");
    }
    for word in ["active", "done", "stopped"] {
        from_value::<EnrolmentStatus>(json!(word)).expect(word);
        assert_ne!(icon_of(word), "idle", "{word}");
    }
}
