//! A look at HTML that is stricter than browsers: they mend what is wrong, and hide it.

use std::collections::HashSet;

/// Elements that have no end.
const VOID: [&str; 6] = ["meta", "link", "input", "img", "br", "hr"];
/// Elements that end a paragraph when they begin inside one, whatever the text means.
const BLOCKS: [&str; 19] = [
    "p",
    "div",
    "ul",
    "ol",
    "dl",
    "form",
    "table",
    "section",
    "fieldset",
    "pre",
    "blockquote",
    "h1",
    "h2",
    "h3",
    "details",
    "figure",
    "nav",
    "main",
    "header",
];

struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
    is_end: bool,
    is_closed: bool,
}

impl Tag {
    fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// What is wrong with a page whose addresses all begin with that base.
pub(super) fn faults(html: &str, base: &str) -> Vec<String> {
    let tags = match tags(html) {
        Ok(tags) => tags,
        Err(fault) => return vec![fault],
    };
    let mut faults = nesting(&tags);
    faults.extend(references(&tags));
    faults.extend(fields(&tags));
    faults.extend(code_and_links(&tags, base));
    for (name, times) in [("h1", 1), ("main", 1), ("title", 1)] {
        let found = tags.iter().filter(|tag| tag.name == name && !tag.is_end).count();
        // A drawing has a title of its own.
        if found < times || (name != "title" && found > times) {
            faults.push(format!("{found} elements {name}, not {times}"));
        }
    }
    for tag in tags.iter().filter(|tag| tag.name == "th" && !tag.is_end) {
        if tag.get("scope").is_none() {
            faults.push("a th without a scope".to_owned());
        }
    }
    faults
}

fn tags(html: &str) -> Result<Vec<Tag>, String> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if rest.starts_with('!') {
            continue;
        }
        let (tag, after) =
            tag(rest).ok_or_else(|| format!("half a tag: <{}", rest.chars().take(80).collect::<String>()))?;
        rest = after;
        tags.push(tag);
    }
    Ok(tags)
}

fn tag(text: &str) -> Option<(Tag, &str)> {
    let (is_end, text) = text.strip_prefix('/').map_or((false, text), |text| (true, text));
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '-')?;
    let name = text[..end].to_ascii_lowercase();
    let mut rest = text[end..].trim_start();
    let mut attributes = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix('>') {
            return Some((Tag { name, attributes, is_end, is_closed: false }, after));
        }
        if let Some(after) = rest.strip_prefix("/>") {
            return Some((Tag { name, attributes, is_end, is_closed: true }, after));
        }
        let end = rest.find(['=', '>', ' ', '\n', '/'])?;
        let attribute = rest[..end].to_owned();
        if attribute.is_empty() || attribute.contains(['"', '\'', '<']) {
            return None;
        }
        rest = &rest[end..];
        let value = match rest.strip_prefix("=\"") {
            Some(value) => {
                let (value, after) = value.split_once('"')?;
                rest = after;
                if !rest.starts_with([' ', '>', '/', '\n']) {
                    return None;
                }
                value.to_owned()
            }
            None if rest.starts_with('=') => return None,
            None => String::new(),
        };
        if attributes.iter().any(|(other, _): &(String, String)| *other == attribute) {
            return None;
        }
        attributes.push((attribute, value));
        rest = rest.trim_start();
    }
}

fn nesting(tags: &[Tag]) -> Vec<String> {
    let (mut faults, mut open): (Vec<String>, Vec<&str>) = (Vec::new(), Vec::new());
    for tag in tags {
        let name = tag.name.as_str();
        if tag.is_end {
            match open.pop() {
                Some(last) if last == name => {}
                last => faults.push(format!("</{name}> ends {last:?} in {open:?}")),
            }
            continue;
        }
        if VOID.contains(&name) || tag.is_closed {
            continue;
        }
        if BLOCKS.contains(&name) && open.contains(&"p") {
            faults.push(format!("<{name}> inside a paragraph"));
        }
        let inside_itself =
            matches!(name, "form" | "a" | "button" | "label" | "th" | "td") && open.contains(&name);
        if inside_itself || (name == "a" && open.contains(&"button")) {
            faults.push(format!("<{name}> inside of another in {open:?}"));
        }
        if matches!(name, "td" | "th") && open.last() != Some(&"tr") {
            faults.push(format!("<{name}> outside of a row in {open:?}"));
        }
        open.push(name);
    }
    faults.extend(open.into_iter().map(|name| format!("<{name}> has no end")));
    faults
}

fn references(tags: &[Tag]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut ids = HashSet::new();
    for id in tags.iter().filter_map(|tag| tag.get("id")) {
        if id.is_empty() || id.contains(' ') || !ids.insert(id) {
            faults.push(format!("the id {id:?} is no id, or stands twice"));
        }
    }
    for tag in tags {
        for name in ["for", "list", "form", "aria-labelledby", "aria-describedby"] {
            for id in tag.get(name).into_iter().flat_map(str::split_whitespace) {
                if !ids.contains(id) {
                    faults.push(format!("{name}={id:?} names nothing"));
                }
            }
        }
    }
    faults
}

fn fields(tags: &[Tag]) -> Vec<String> {
    let labels: HashSet<&str> =
        tags.iter().filter(|tag| tag.name == "label").filter_map(|tag| tag.get("for")).collect();
    let is_field = |tag: &&Tag| matches!(tag.name.as_str(), "input" | "select" | "textarea") && !tag.is_end;
    let fields = tags.iter().filter(is_field).filter(|tag| tag.get("type") != Some("hidden"));
    let nameless = fields
        .filter(|tag| tag.get("aria-label").is_none() && tag.get("id").is_none_or(|id| !labels.contains(id)));
    nameless.map(|tag| format!("a field without a label: {:?}", tag.attributes)).collect()
}

fn code_and_links(tags: &[Tag], base: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for tag in tags {
        let is_ours = tag.get("src").is_some_and(|src| src.starts_with(&format!("{base}/assets/live.js?")));
        if (tag.name == "script" && !tag.is_end && !is_ours)
            || matches!(tag.name.as_str(), "style" | "iframe")
        {
            faults.push(format!("<{}> {:?}", tag.name, tag.attributes));
        }
        for (name, value) in &tag.attributes {
            let is_address = matches!(name.as_str(), "href" | "action" | "src" | "formaction");
            if name.starts_with("on") || name == "style" {
                faults.push(format!("{name}={value:?} in <{}>", tag.name));
            }
            if is_address && !value.starts_with(base) && !value.starts_with('#') {
                faults.push(format!("{name}={value:?} leads elsewhere"));
            }
        }
    }
    faults
}
