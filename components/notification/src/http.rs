//! HTTP of the notification service: its jobs. The public has no business here.

use std::rc::Rc;

use cairn_shared::{
    Result,
    http::{Response, Router},
};

use crate::app::{App, SEND_PATH};

pub fn routes() -> Router<App> {
    Router::default().post(SEND_PATH, send).post("/_jobs/purge", purge)
}

async fn send(app: Rc<App>) -> Result<Response> {
    app.send_due().await?;
    Ok(Response::empty(204))
}

async fn purge(app: Rc<App>) -> Result<Response> {
    app.purge().await?;
    Ok(Response::empty(204))
}
