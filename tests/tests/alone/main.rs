//! Each component alone in the real host, its links answered by the test.
//!
//! What is here is what neither a native test of a component nor a journey through all
//! nine can show: the built component, by its own exports, while the others are absent,
//! silent or wrong.

mod admin;
mod batch;
mod booking;
mod content;
mod gateway;
mod grants;
mod notification;
mod payment;
mod stage;
mod stripe;
mod trek;
mod user;
mod val;
