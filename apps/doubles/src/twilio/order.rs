//! What a program orders, a text or a call: who asks, for what, and which rules it meets.

use axum::{
    body::Bytes,
    extract::rejection::BytesRejection,
    http::HeaderMap,
    response::{IntoResponse, Response},
};

use super::{Account, Provider, answer::Params, fault::Fault};
use crate::{count, take_time};

pub(super) struct Order<'a> {
    pub(super) account: Account,
    pub(super) form: Params,
    pub(super) faults: Vec<&'a Fault>,
}

impl Provider {
    /// Reads an order, and takes as long about it as a rule says; or the answer to what is none.
    pub(super) async fn order(
        &self,
        account: &str,
        headers: &HeaderMap,
        body: Result<Bytes, BytesRejection>,
    ) -> Result<Order<'_>, Response> {
        let account = self.authenticate(account, headers).map_err(|problem| self.refused(problem))?;
        let form = Params::of_form(headers, body).map_err(|problem| {
            count(&self.tally.nonsense);
            problem.into_response()
        })?;
        let faults = self.options.rules.for_one(form.get("To").unwrap_or_default());
        take_time(faults.iter().filter_map(|fault| match fault {
            Fault::Slow(ms) => Some(ms),
            _ => None,
        }))
        .await;
        Ok(Order { account, form, faults })
    }
}
