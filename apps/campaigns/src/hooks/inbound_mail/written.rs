//! What a person wrote themselves, of a mail that quotes ours below.

use mail_parser::{
    Message, MessagePart, MimeHeaders, PartType,
    decoders::{charsets::map::charset_decoder, html::html_to_text},
};

use super::{super::bounded, contents};
use crate::optout::words::without_quotes;

/// Where mail programs begin to quote in HTML, in lower case: within the tag of the quotation, or at its start.
const QUOTES: [&str; 7] = [
    "<blockquote",
    "gmail_quote",
    "yahoo_quoted",
    "moz-cite-prefix",
    "protonmail_quote",
    "id=\"divrplyfwdmsg\"",
    "id=\"appendonsend\"",
];

/// The words above the quotation: of the text, or of the HTML where there is no text.
pub(super) fn own_words(message: &Message<'_>, bytes: &[u8]) -> String {
    let parts = message.text_body.iter().filter_map(|id| message.parts.get(*id as usize));
    let mut texts = parts.filter_map(|part| match &part.body {
        PartType::Text(_) => Some(letters(bytes, part)),
        PartType::Html(_) => Some(html_to_text(without_quotation(&letters(bytes, part)))),
        _ => None,
    });
    let text = texts.find(|text| !text.trim().is_empty()).unwrap_or_default().replace("\r\n", "\n");
    bounded(without_quotes(&text).trim())
}

fn letters(bytes: &[u8], part: &MessagePart<'_>) -> String {
    let contents = contents(bytes, part);
    let charset = part.content_type().and_then(|kind| kind.attribute("charset"));
    match charset.and_then(|charset| charset_decoder(charset.as_bytes())) {
        Some(decode) => decode(&contents),
        None => String::from_utf8_lossy(&contents).into_owned(),
    }
}

/// The HTML in front of the first quotation.
fn without_quotation(html: &str) -> &str {
    // Lower case of ASCII leaves every byte in its place.
    let lower = html.to_ascii_lowercase();
    let first = QUOTES.iter().filter_map(|mark| lower.find(mark)).min();
    let tag = first.map(|at| lower[..=at].rfind('<').unwrap_or(at));
    &html[..tag.unwrap_or(html.len())]
}
