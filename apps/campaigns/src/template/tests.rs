use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::channel::Channel;

fn template(text: &str) -> Template {
    Template::parse(text).unwrap()
}

fn values(pairs: &[(&str, &str)]) -> Values {
    let mut values = Values::new();
    for (name, value) in pairs {
        values.set(name, *value);
    }
    values
}

fn text(template_text: &str, pairs: &[(&str, &str)]) -> Result<String, RenderError> {
    template(template_text).render(&values(pairs), Mode::Text)
}

#[test]
fn a_variable_becomes_its_value_its_default_or_a_missing_name() {
    let ann = [("first_name", " Ann "), ("field.plan", "gold"), ("company", "   ")];
    assert_eq!(text("Hi {{first_name}}, {{ FIELD.Plan }}!", &ann).unwrap(), "Hi Ann, gold!");
    assert_eq!(
        text("Hi {{last_name|there}} of {{ company | your company }}", &ann).unwrap(),
        "Hi there of your company"
    );
    assert_eq!(text("{{last_name|}}.", &ann).unwrap(), ".");
    let missing = text("{{zip}} {{first_name}} {{company}} {{zip}} {{city|x}}", &ann).unwrap_err();
    assert_eq!(missing.to_string(), "no value and no default for zip, company");
}

#[test]
fn the_whole_name_is_made_of_its_parts_when_the_list_has_none() {
    let name = |pairs: &[(&str, &str)]| text("{{name|?}}", pairs).unwrap();
    assert_eq!(name(&[("first_name", "Ann"), ("last_name", "Smith")]), "Ann Smith");
    assert_eq!(name(&[("first_name", "Ann"), ("last_name", " ")]), "Ann");
    assert_eq!(name(&[("first_name", "Ann"), ("name", "Dr. Smith")]), "Dr. Smith");
    assert_eq!(name(&[]), "?");
}

#[test]
fn free_fields_come_from_json_under_the_names_templates_write() {
    let fields = serde_json::json!({"Plan Type": "gold", "seats": 12, "trial": true, "none": null, "tags": ["a", "b"],
        "deep": {"a": 1}});
    let mut values = Values::new();
    values.set_fields(fields.as_object().unwrap());
    let all = "{{field.plan_type}} {{field.seats}} {{field.trial}} {{field.tags}} {{field.none|-}} {{field.deep|-}}";
    assert_eq!(template(all).render(&values, Mode::Text).unwrap(), "gold 12 true a, b - -");
}

#[test]
fn a_backslash_in_front_of_a_brace_escapes_it_and_is_itself_elsewhere() {
    for (written, said) in [
        (r"a \{{first_name}} b", "a {{first_name}} b"),
        (r"C:\temp \o/ \\server", r"C:\temp \o/ \\server"),
        (r"\\{{first_name}}", r"\Ann"),
        (r"\\\{{first_name}}", r"\{{first_name}}"),
        ("{ {first_name} }", "{ {first_name} }"),
        ("}} is no variable", "}} is no variable"),
        (r"\{{{first_name}}", "{Ann"),
        (r"{{last_name|a\}\}b\\c\{\{d|e}}", r"a}}b\c{{d|e"),
    ] {
        assert_eq!(text(written, &[("first_name", "Ann")]).unwrap(), said, "{written}");
    }
}

#[test]
fn a_mistake_is_told_with_its_place_and_a_way_out() {
    for (written, line, column, what, hint) in [
        ("Hi {{first_name", 1, 4, "not closed", "\\{{"),
        ("Hé\n  {{first_name|there\n}}", 2, 3, "not closed", "}}"),
        ("{{}}", 1, 1, "without a name", "{{first_name}}"),
        ("{{ | x }}", 1, 1, "without a name", "{{first_name}}"),
        ("{{first name}}", 1, 1, "\"first name\"", "{{first_name}}"),
        ("a {{#if first_name}}", 1, 3, "#if", "defaults only"),
        ("{{if first_name}}", 1, 1, "if first_name", "defaults only"),
        ("{{{first_name}}}", 1, 1, "{first_name", "defaults only"),
        ("{{a.b.c}}", 1, 1, "a.b.c", "a_b_c"),
        ("{{city|{{state}}}}", 1, 1, "within the default", "plain text"),
        ("a\u{0}b", 1, 2, "U+0000", "delete"),
    ] {
        let error = Template::parse(written).unwrap_err();
        assert_eq!((error.line, error.column), (line, column), "{written}: {error}");
        assert!(error.what.contains(what) && error.hint.contains(hint), "{written}: {error}");
    }
    assert!(Template::parse(&"x".repeat(MAX_TEMPLATE_BYTES)).is_ok());
    assert!(Template::parse(&"x".repeat(MAX_TEMPLATE_BYTES + 1)).is_err());
}

#[test]
fn variables_are_listed_once_and_apart_from_them_those_without_a_default() {
    let template = template("{{b}} {{a|x}} {{b|y}} {{c|z}} {{a}}");
    assert_eq!(template.variables().iter().map(|v| v.as_str()).collect::<Vec<_>>(), ["b", "a", "c"]);
    assert_eq!(template.required().iter().map(|v| v.as_str()).collect::<Vec<_>>(), ["b", "a"]);
}

#[test]
fn values_are_data_in_every_mode() {
    let hostile = [("first_name", "<script>\"a\" & 'b'</script>{{email}}\r\nBcc: x@example.com\u{0}")];
    let all = template("<b>{{first_name}}</b>{{city|<i>}}");
    let html = all.render(&values(&hostile), Mode::Html).unwrap();
    assert!(
        html.starts_with("<b>&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/script&gt;{{email}}"),
        "{html}"
    );
    assert!(html.ends_with("</b>&lt;i&gt;") && !html.contains('\u{0}'), "{html}");
    let line = all.render(&values(&hostile), Mode::Line).unwrap();
    assert!(!line.contains(char::is_control) && line.contains("{{email}}  Bcc"), "{line}");
    assert_eq!(template("a\r\nb").render(&values(&[]), Mode::Line).unwrap(), "a  b");
}

#[test]
fn a_message_that_values_blow_up_is_refused() {
    let long = "x".repeat(64 * 1024);
    let template = template(&"{{first_name}}".repeat(17));
    assert_eq!(template.render(&values(&[("first_name", &long)]), Mode::Text), Err(RenderError::TooLong));
}

#[test]
fn a_heading_becomes_the_name_of_a_field_and_stays_it() {
    for (heading, name) in
        [("Plan Type", "plan_type"), ("  E-Mail (2) ", "e_mail_2"), ("GRÖSSE", "grösse"), ("401k", "401k")]
    {
        assert_eq!(field_name(heading).as_deref(), Some(name));
        assert!(is_field_name(name));
        assert_eq!(Variable::of_field(name).unwrap().field(), Some(name));
    }
    for none in ["", "  ", "---", "!"] {
        assert_eq!(field_name(none), None);
    }
    assert!(!is_field_name("Plan") && !is_field_name("a b"));
}

#[test]
fn a_text_message_is_counted_as_the_network_counts() {
    use sms::{Encoding::*, size};
    let count = |text: &str| (size(text).encoding, size(text).units, size(text).segments);
    assert_eq!(count(""), (Gsm7, 0, 0));
    assert_eq!(count(&"a".repeat(160)), (Gsm7, 160, 1));
    assert_eq!(count(&"a".repeat(161)), (Gsm7, 161, 2));
    assert_eq!(count(&"a".repeat(306)), (Gsm7, 306, 2));
    assert_eq!(count(&"a".repeat(307)), (Gsm7, 307, 3));
    assert_eq!(count(&"€".repeat(80)), (Gsm7, 160, 1));
    // 153 places hold 76 of two places each: the last place of a segment stays empty.
    assert_eq!(count(&"€".repeat(152)), (Gsm7, 304, 2));
    assert_eq!(count(&"€".repeat(153)), (Gsm7, 306, 3));
    assert_eq!(count(&"ж".repeat(70)), (Ucs2, 70, 1));
    assert_eq!(count(&"ж".repeat(71)), (Ucs2, 71, 2));
    assert_eq!(count(&"ж".repeat(134)), (Ucs2, 134, 2));
    assert_eq!(count(&"ж".repeat(135)), (Ucs2, 135, 3));
    assert_eq!(count(&"😀".repeat(35)), (Ucs2, 70, 1));
    assert_eq!(count(&"😀".repeat(67)), (Ucs2, 134, 3));
    for basic in ["@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ¤¡ÄÖÑÜ§¿äöñüà", "\n\r"]
    {
        assert_eq!(size(basic).encoding, Gsm7, "{basic}");
        assert_eq!(size(basic).units, basic.chars().count());
    }
    for costly in ["ç", "’", "\t", "á", "`", "\u{a0}"] {
        assert_eq!(size(costly).encoding, Ucs2, "{costly}");
    }
}

#[test]
fn a_curly_quote_has_a_plain_one_and_a_smiley_has_none() {
    let costly = sms::costly("It’s “on” – 😀 it’s");
    assert_eq!(
        costly.iter().map(|c| (c.found, c.instead)).collect::<Vec<_>>(),
        [('’', Some("'")), ('“', Some("\"")), ('”', Some("\"")), ('–', Some("-")), ('😀', None)]
    );
    assert_eq!(sms::plainer("It’s “on” – ç é"), "It's \"on\" - c é");
    assert_eq!(
        sms::size(&sms::plainer(
            "‘’‚‛′`´“”„‟″«»‐‑‒–—―−…•·‣\u{a0}\u{2007}\u{202f}\u{200b}\u{ad}™®©×áâãÁêëÊíîïÍóôõÓúûÚçýÿ"
        ))
        .encoding,
        sms::Encoding::Gsm7
    );
}

/// A draft of three templates' texts.
struct Written {
    channel: Channel,
    first_touch: bool,
    subject: Option<Template>,
    text: Option<Template>,
    html: Option<Template>,
    lacking: BTreeMap<Variable, u64>,
}

impl Written {
    fn new(channel: Channel, text: &str) -> Self {
        Self {
            channel,
            first_touch: true,
            subject: None,
            text: Some(template(text)),
            html: None,
            lacking: BTreeMap::new(),
        }
    }

    fn mail(subject: &str, text: &str, html: Option<&str>) -> Self {
        Self { subject: Some(template(subject)), html: html.map(template), ..Self::new(Channel::Email, text) }
    }

    fn findings(&self) -> Vec<Finding> {
        lint(&Draft {
            channel: self.channel,
            first_touch: self.first_touch,
            subject: self.subject.as_ref(),
            text: self.text.as_ref(),
            html: self.html.as_ref(),
            fields: &BTreeSet::from(["plan".to_owned()]),
            contacts: 1_000,
            lacking: &self.lacking,
            sample: None,
        })
    }

    fn codes(&self) -> Vec<&'static str> {
        self.findings().iter().map(|finding| finding.code.name()).collect()
    }
}

const FOOT: &str = "\n{{unsubscribe_url}}\n{{postal_address}}";

#[test]
fn a_good_message_of_each_channel_has_no_finding() {
    let mail = Written::mail(
        "{{first_name|Hello}}, a question about {{company|your company}}",
        &format!("Hi {{{{first_name|there}}}}, {{{{field.plan}}}}{FOOT}"),
        Some(
            "<p>Hi</p><a href=\"{{unsubscribe_url}}\">Unsubscribe</a> {{postal_address}} 1 + 1 ={{field.plan}}",
        ),
    );
    let sms =
        Written::new(Channel::Sms, "Hi {{first_name|there}}, {{sender.name}} here. Reply STOP to opt out.");
    let voice = Written::new(Channel::Voicemail, "Hi, this is Ann. Call me back on (415) 555-0100. Bye.");
    for good in [mail, sms, voice] {
        assert_eq!(good.findings(), []);
    }
}

#[test]
fn each_rule_finds_what_it_is_for() {
    let mail = |subject: &str, text: &str| Written::mail(subject, &format!("{text}{FOOT}"), None).codes();
    let sms = |text: &str| Written::new(Channel::Sms, &format!("{text} Reply STOP to end")).codes();
    let speech =
        |text: &str| Written::new(Channel::Voicemail, &format!("{text} {{{{sender.phone}}}}")).codes();
    assert_eq!(Written::mail("A", "B", None).codes(), ["no_unsubscribe", "no_postal_address"]);
    assert_eq!(Written::mail("A", FOOT, Some("<p>B</p>")).codes(), ["no_unsubscribe", "no_postal_address"]);
    assert_eq!(mail(" ", "B"), ["subject_empty"]);
    assert_eq!(mail("A\nB", "B"), ["subject_line_break"]);
    assert_eq!(mail(&"word ".repeat(20), "B"), ["subject_long"]);
    assert_eq!(mail("RE: our call", "B"), ["subject_fake_reply"]);
    assert_eq!(mail("LAST CHANCE FOR YOU", "B"), ["shouting"]);
    assert_eq!(mail("A", "Buy now!!!"), ["shouting"]);
    assert_eq!(mail("A", "<p>Hi</p>"), ["markup_in_text"]);
    assert_eq!(mail("A", "see https://bit.ly/x and https://habit.ly/y"), ["link_shortener"]);
    assert_eq!(mail("A", "see habit.ly, orbit.lyric and not-bit.ly"), [""; 0]);
    assert_eq!(mail("A", "Hi {{frist_name}}"), ["unknown_variable"]);
    for foreign in [
        "[First Name]",
        "*|FNAME|*",
        "{first_name}",
        "<<company>>",
        "%%name%%",
        "{% first_name %}",
        "[Unsubscribe]",
    ] {
        assert_eq!(
            mail("A", &format!("Hi {foreign}, [1] {{ok}} 50% off 100%")),
            ["foreign_placeholder"],
            "{foreign}"
        );
    }
    let html = |html: &str| Written::mail("A", FOOT, Some(&format!("{html}{FOOT}"))).codes();
    assert_eq!(html("<a href={{unsubscribe_url}}>x</a>"), ["unquoted_attribute"]);
    assert_eq!(html(&"<p>x</p>".repeat(13_200)), ["html_clipped"]);
    let only_html = Written { text: None, ..Written::mail("A", "", Some(FOOT)) };
    assert_eq!(only_html.codes(), ["no_text_part"]);
    assert_eq!(Written::new(Channel::Sms, "Hi Ann").codes(), ["no_stop_word"]);
    assert_eq!(Written { first_touch: false, ..Written::new(Channel::Sms, "Hi Ann") }.codes(), [""; 0]);
    assert_eq!(Written::new(Channel::Sms, " ").codes(), ["body_empty"]);
    assert_eq!(sms(&"word ".repeat(120)), ["sms_segments"]);
    assert_eq!(sms(&"word ".repeat(320)), ["sms_too_long"]);
    assert_eq!(sms(&format!("It’s {}", "word ".repeat(20))), ["sms_unicode"]);
    assert_eq!(sms("It’s short"), [""; 0]);
    assert_eq!(sms("see t.co/abc"), ["link_shortener"]);
    assert_eq!(Written::new(Channel::Voicemail, "Hi Ann, call me").codes(), ["speech_no_phone"]);
    assert_eq!(speech("see https://example.com"), ["speech_link"]);
    assert_eq!(speech(&"word ".repeat(151)), ["speech_too_long"]);
    assert_eq!(speech(&"word ".repeat(1_000)), ["speech_too_long"]);
}

#[test]
fn lacking_values_are_counted_and_only_all_of_them_stop_a_launch() {
    let mut sms = Written::new(Channel::Sms, "Hi {{first_name}} {{last_name|you}} Reply STOP to end");
    sms.lacking.insert(Variable::parse("first_name").unwrap(), 412);
    sms.lacking.insert(Variable::parse("last_name").unwrap(), 1_000);
    let [finding] = &sms.findings()[..] else { panic!("{:?}", sms.findings()) };
    assert_eq!((finding.code, finding.severity), (Code::MissingValues, Severity::Warning));
    assert!(
        finding.what.contains("412 of 1000") && finding.hint.contains("{{first_name|there}}"),
        "{finding:?}"
    );
    sms.lacking.insert(Variable::parse("first_name").unwrap(), 1_000);
    assert_eq!(sms.findings()[0].severity, Severity::Error);
}

#[test]
fn a_misspelled_variable_is_told_what_was_meant() {
    for (wrong, meant) in [
        ("firstname", "first_name"),
        ("frist_name", "first_name"),
        ("plan", "field.plan"),
        ("field.plann", "field.plan"),
        ("field.company", "company"),
        ("sender_name", "sender.name"),
        ("unsubscribe", ""),
    ] {
        let sms = Written::new(Channel::Sms, &format!("{{{{{wrong}}}}} Reply STOP"));
        let [finding] = &sms.findings()[..] else { panic!("{wrong}: {:?}", sms.findings()) };
        let hint = format!("did you mean {{{{{meant}}}}}?");
        assert_eq!(finding.hint == hint, !meant.is_empty(), "{wrong}: {finding:?}");
    }
    let meant = Variable::parse("frist_name").unwrap().meant(["first_name"].into_iter());
    assert_eq!(meant.as_deref(), Some("first_name"), "the standard one, beside a column of that name");
}

#[test]
fn the_page_on_templates_lists_every_code_and_every_variable() {
    let page = include_str!("../../../../docs/templates.md");
    for code in Code::ALL {
        assert!(page.contains(&format!("`{}`", code.name())), "{} is not in docs/templates.md", code.name());
        assert_eq!(serde_json::to_value(code).unwrap(), code.name());
    }
    for known in KNOWN {
        assert!(page.contains(known.name), "{} is not in docs/templates.md", known.name);
        assert_eq!(Variable::parse(known.name).unwrap().known(), Some(known));
    }
}

/// Text made of what the parser treats specially, so that strange neighbours are frequent.
fn tricky() -> impl Strategy<Value = String> {
    let parts = prop_oneof![
        3 => prop::sample::select(vec![
            "\\", "{", "}", "{{", "}}", "|", "a", "first_name", ".", " ", "\n", "é", "<", "&", "\"",
        ]),
        1 => Just("{{first_name}}"),
        1 => Just("{{last_name|x}}"),
    ];
    prop::collection::vec(parts, 0..24).prop_map(|parts| parts.concat())
}

/// Text that only serves as a value.
fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), tricky()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_template_prints_is_read_as_the_same_template(text in prop_oneof![any::<String>(), tricky()]) {
        if let Ok(template) = Template::parse(&text) {
            let printed = template.to_string();
            prop_assert_eq!(Template::parse(&printed), Ok(template), "{:?} of {:?}", printed, text);
        }
    }

    #[test]
    fn any_text_can_be_written_so_that_it_is_sent_as_it_is(text in tricky(), after in any::<bool>()) {
        let mut pieces = vec![Piece::Text(text.clone())];
        pieces.retain(|_| !text.is_empty());
        if after {
            let default = Some(text.trim().replace('\n', ""));
            pieces.push(Piece::Hole { variable: Variable::parse("a").unwrap(), default });
        }
        let template = Template { pieces };
        prop_assert_eq!(Template::parse(&template.to_string()), Ok(template.clone()), "{}", template);
    }

    #[test]
    fn rendering_never_panics_and_html_takes_no_markup_from_values(text in tricky(), value in any_value()) {
        if let Ok(template) = Template::parse(&text) {
            let mut values = Values::new();
            values.set("first_name", value);
            for mode in [Mode::Text, Mode::Line, Mode::Html] {
                let _ = template.render(&values, mode);
            }
            let marks = |text: &str| text.matches(['<', '>', '"', '\'']).count();
            if let Ok(html) = template.render(&values, Mode::Html) {
                let own: usize = template.texts().map(marks).sum();
                prop_assert_eq!(marks(&html), own);
            }
            let fields = BTreeSet::new();
            let lacking = BTreeMap::new();
            for channel in Channel::ALL {
                let template = Some(&template);
                lint(&Draft { channel, first_touch: true, subject: template, text: template, html: template,
                    fields: &fields, contacts: 1, lacking: &lacking, sample: Some(&values) });
            }
        }
    }

    #[test]
    fn segments_hold_the_units_and_no_segment_but_the_last_has_room_for_the_next_character(text in any::<String>()) {
        let size = sms::size(&text);
        let (single, joined) = (size.encoding.single(), size.encoding.joined());
        match size.segments {
            0 => prop_assert_eq!(size.units, 0),
            1 => prop_assert!(size.units <= single),
            many => {
                prop_assert!(size.units > single && size.units <= many * joined);
                // A character takes at most two units, so that at most one stays empty.
                prop_assert!(size.units > (many - 1) * (joined - 1));
            }
        }
    }
}
