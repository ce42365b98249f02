//! Invoices, vouchers and notes: downloaded by whom they belong to, checked by anybody.

use std::rc::Rc;

use cairn_shared::{
    Error, Id, Result,
    http::{Header, Json, Path, Path2, Response, Router},
    identity::Caller,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body;
use crate::{
    app::App,
    domain::{Billing, InvalidGstin, InvalidState},
    store::Document,
};

/// Longest name or address on a document, in characters.
const BILLING_CHARS_MAX: usize = 300;

pub fn routes(router: Router<App>) -> Router<App> {
    router
        .get("/api/bookings/{id}/invoice", invoice)
        .get("/api/bookings/{id}/documents", list)
        .get("/api/bookings/{id}/documents/{number}", download)
        .put("/api/bookings/{id}/billing", put_billing)
        .get("/api/bookings/documents/{code}", check)
}

async fn invoice(app: Rc<App>, caller: Caller, Path(id): Path<String>) -> Result<Response> {
    let id: Id = app.resolve(&id, caller.is_admin()).await?;
    Ok(attachment(&format!("Invoice-{id}"), app.invoice(&caller, id).await?))
}

fn attachment(name: &str, pdf: Vec<u8>) -> Response {
    Response::text(200, "application/pdf", pdf)
        .header("content-disposition", format!("attachment; filename={name}.pdf"))
}

async fn list(app: Rc<App>, caller: Caller, Path(id): Path<String>) -> Result<Json<Value>> {
    let id = app.resolve(&id, caller.is_admin()).await?;
    let documents = app.documents(&caller, id).await?;
    let documents = documents.iter().map(|document| {
        let mut object = view(document);
        object["url"] = json!(format!("/api/bookings/{id}/documents/{}", document.number));
        object
    });
    Ok(Json(json!({ "success": true, "documents": documents.collect::<Vec<_>>() })))
}

fn view(document: &Document) -> Value {
    json!({
        "number": document.number,
        "kind": document.kind.as_str(),
        "title": document.content.title,
        "date": document.issued_at,
        "amount": document.amount,
        "currency": "INR",
    })
}

async fn download(app: Rc<App>, caller: Caller, Path2(id, number): Path2<String, String>) -> Result<Response> {
    let id = app.resolve(&id, caller.is_admin()).await?;
    let pdf = app.document_pdf(&caller, id, &number).await?;
    Ok(attachment(&number, pdf))
}

/// What a QR code leads to: a sentence for a person's browser, an object for others.
async fn check(app: Rc<App>, Path(code): Path<String>, headers: Header) -> Result<Response> {
    let document = app.document_of_code(&code).await?;
    let seller = &app.seller;
    if headers.get("accept").is_some_and(|accept| accept.contains("text/html")) {
        let text = format!(
            "This document is genuine.\n\n{} {}\nof {}\nover INR {}\nissued by {}\n",
            document.content.title,
            document.number,
            app.env.zone.day_text(document.issued_at),
            document.amount,
            seller.legal_name,
        );
        return Ok(Response::text(200, "text/plain; charset=utf-8", text));
    }
    let mut object = view(&document);
    object["success"] = json!(true);
    object["message"] = json!("This document is genuine.");
    object["issuer"] = json!({ "name": seller.legal_name, "gstin": seller.gstin });
    Ok(Response::json(200, &object))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BillingBody {
    name: Value,
    address: Value,
    gstin: Value,
    state: Value,
}

impl BillingBody {
    fn parse(&self) -> Result<Billing> {
        let given = |value: &Value| Some(body::text(value)).filter(|text| !text.is_empty());
        let (name, address) = (given(&self.name), given(&self.address));
        if [&name, &address].into_iter().flatten().any(|text| text.chars().count() > BILLING_CHARS_MAX) {
            let message = format!("A billing name or address may have at most {BILLING_CHARS_MAX} characters");
            return Err(Error::bad_request(message));
        }
        let gstin = given(&self.gstin).map(|text| text.parse()).transpose();
        let gstin = gstin.map_err(|error: InvalidGstin| Error::bad_request(error.to_string()))?;
        let state = given(&self.state).map(|text| text.parse()).transpose();
        let state = state.map_err(|error: InvalidState| Error::bad_request(error.to_string()))?;
        Ok(Billing { name, address, gstin, state })
    }
}

async fn put_billing(
    app: Rc<App>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<BillingBody>,
) -> Result<Json<Value>> {
    let billing = body.parse()?;
    let id = app.resolve(&id, caller.is_admin()).await?;
    let booking = app.set_billing(&caller, id, &billing).await?;
    Ok(Json(json!({ "success": true, "message": "Billing details saved", "billing": booking.billing })))
}
