//! How pages look: one style sheet, one script, icons, the frame that stands around a page, and the words for numbers
//! and times. The server's dashboard is made with it, and so are the pages of an application that stands beside it.
//!
//! ```
//! use askama::Template;
//! use windlass_look::{Frame, Visitor, icon, show};
//!
//! #[derive(Template)]
//! #[template(ext = "html", source = r#"<!doctype html><html lang="en"><head><title>Stock</title>{{ f.head() }}</head>
//! <body data-base="{{ f.base }}" data-every="{{ f.every }}" data-may="{{ f.may }}">{{ f.top() }}
//! <main id="main" tabindex="-1"><p>{{ windlass_look::icon("warning") }}{{ left }} left</p></main>{{ f.bottom() }}</body></html>"#)]
//! struct StockPage { f: Frame, left: u32 }
//!
//! async fn stock(visitor: Visitor) -> axum::response::Response {
//!     show(&StockPage { f: visitor.frame("/stock"), left: 7 })
//! }
//! ```
//!
//! A template has the page; what is around it comes from [`Frame`], so no page has a navigation of its own. Templates
//! escape whatever they print. Pages may load the files of `assets/` and nothing else, and hold no script and no style:
//! [`show`] says so to the browser.
//!
//! It knows no queue and no store. [`Visitor`] is what whoever stands at the door has found out of somebody who asks.

mod assets;
mod cookie;
mod flash;
mod frame;
mod icon;
mod page;
mod visitor;
pub mod words;

pub use assets::{address, asset};
pub use cookie::{cookie, set_cookie};
pub use flash::Flash;
pub use frame::{Bottom, Frame, Head, Place, Top};
pub use icon::{Icon, icon};
pub use page::{foreign, is_local, show, show_with, sorry, try_page, wants_page};
pub use visitor::{NoVisitor, Visitor};
